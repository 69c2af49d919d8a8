"""The tensors of one checkpoint, ready to be built: a published one's or one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from model_builder.artifact.labels import Label, imagenet1k
from model_builder.checkpoints.catalog import Checkpoint
from model_builder.checkpoints.custom import TENSORS, CustomCheckpoint
from model_builder.checkpoints.download.fetch import LocalFile, address, published_digest
from model_builder.checkpoints.formats import Tensors
from model_builder.checkpoints.loader import read_tensors
from model_builder.errors import ConversionFailed


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """tensors: by our names, as `convert.assign` takes them. labels: in the order of the logits.

    source, digest: where they came from and the hash of that file, for the manifest.
    """

    tensors: Tensors
    labels: tuple[Label, ...]
    source: str
    digest: str


def published_weights(checkpoint: Checkpoint, file: LocalFile) -> Weights:
    """Of a row of the catalogue, from its file. Raises ConversionFailed."""
    tensors = read_tensors(file, checkpoint.architecture)
    return Weights(tensors, imagenet1k(), address(file.source), published_digest(file))


def custom_weights(folder: Path, checkpoint: CustomCheckpoint) -> Weights:
    """Of an imported checkpoint in `folder`. Raises ConversionFailed where they can't be read."""
    path = folder / checkpoint.name / TENSORS
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConversionFailed(f"{path} can't be read: {error}") from error
    return Weights(tensors, checkpoint.labels, checkpoint.source, checkpoint.digest)
