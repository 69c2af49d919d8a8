"""Custom checkpoints: weights that the user imported, one folder each.

NAME/checkpoint.json     architecture, preprocessing, labels, source
NAME/tensors.safetensors every tensor by our names, float32
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save

from model_builder.artifact.labels import Label
from model_builder.artifact.preprocessing import Preprocessing
from model_builder.checkpoints.catalog import CHECKPOINTS
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.errors import BuilderError, ConversionFailed, UnknownModel
from model_builder.networks.config import ResNetConfig
from model_builder.networks.members import MEMBERS

logger = logging.getLogger(__name__)

CHECKPOINT, TENSORS = "checkpoint.json", "tensors.safetensors"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
FAMILY_NAME = re.compile(r"resnet\d+")


@dataclass(frozen=True, slots=True)
class CustomCheckpoint:
    """The content of `checkpoint.json`.

    labels: in the order of the logits. source: the imported file. digest: "sha256-" and its hash.
    """

    name: str
    architecture: ResNetConfig
    preprocessing: Preprocessing
    labels: tuple[Label, ...]
    source: str
    digest: str

    def row(self) -> Checkpoint:
        """The checkpoint as a row of the catalog, without sources."""
        return Checkpoint(
            name=self.name,
            architecture=self.architecture,
            preprocessing=self.preprocessing,
            sources=(),
            licence="your own",
            paper="",
            top1_percent=None,
            top5_percent=None,
        )


_ADAPTER = TypeAdapter(CustomCheckpoint)


def check_name(name: str) -> None:
    """Raises ConversionFailed unless the name is valid for a folder and not in the catalog."""
    if not NAME.fullmatch(name):
        raise ConversionFailed(
            f"A name has up to 100 letters, digits, '.', '_' and '-'. Received: {name!r}"
        )
    if name in CHECKPOINTS or name in MEMBERS or FAMILY_NAME.fullmatch(name):
        raise ConversionFailed(
            "Names of published checkpoints are reserved, resnetNN and those of the family's "
            f"other members. Received: {name!r}"
        )


def write_custom(
    folder: Path, checkpoint: CustomCheckpoint, tensors: Mapping[str, npt.NDArray[np.float32]]
) -> None:
    """Writes `folder`/NAME under a temporary name and renames it, replacing an earlier one.

    Raises ConversionFailed for an invalid name, where labels and classes differ in number, or
    where a network of one channel has several means.
    """
    check_name(checkpoint.name)
    recipe = checkpoint.preprocessing
    if checkpoint.architecture.input_channels == 1 and (
        len({*recipe.mean}) > 1 or len({*recipe.std}) > 1
    ):
        raise ConversionFailed(
            "The network has one channel, and so one mean and one std: --mean M M M --std S S S. "
            f"Received: {recipe.mean}, {recipe.std}"
        )
    classes = checkpoint.architecture.classes
    if len(checkpoint.labels) != classes:
        raise ConversionFailed(
            f"The classifier has {classes} classes. Received: {len(checkpoint.labels)} labels"
        )
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / checkpoint.name
    with tempfile.TemporaryDirectory(dir=folder, prefix=".importing-") as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        # safetensors writes an array's memory without regard to its strides.
        laid_out = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
        (made / TENSORS).write_bytes(save(laid_out))
        (made / CHECKPOINT).write_bytes(_ADAPTER.dump_json(checkpoint, indent=1))
        if place.exists():
            shutil.move(place, Path(temporary) / "replaced")
        os.replace(made, place)


def read_custom(folder: Path, name: str) -> CustomCheckpoint:
    """The checkpoint in `folder`/NAME.

    Raises UnknownModel where there is none, ConversionFailed where it can't be read.
    """
    if not NAME.fullmatch(name) or not (folder / name / CHECKPOINT).is_file():
        raise UnknownModel(f"No imported checkpoint has this name. Received: {name!r}")
    try:
        return _ADAPTER.validate_json((folder / name / CHECKPOINT).read_bytes())
    except (OSError, ValidationError) as error:
        raise ConversionFailed(f"{folder / name / CHECKPOINT} can't be read: {error}") from error


def list_custom(folder: Path) -> tuple[CustomCheckpoint, ...]:
    """The readable checkpoints, sorted by name; the others are logged and skipped."""
    found = []
    for name in sorted(path.parent.name for path in folder.glob(f"*/{CHECKPOINT}")):
        try:
            found.append(read_custom(folder, name))
        except BuilderError as error:
            logger.warning("%s is skipped: %s", name, error)
    return tuple(found)
