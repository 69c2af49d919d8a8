"""Reads and writes an artifact's folder. `manifest` describes its files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from model_builder.artifact.checksums import checksum
from model_builder.artifact.head import Dense, Head
from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import (
    EXTENDED_FORMAT,
    FORMAT,
    GOLDEN,
    HEAD,
    LABELS,
    MANIFEST,
    NETWORK,
    Artifact,
    Golden,
    Manifest,
)
from model_builder.artifact.report import REPORT, Report, read_report, write_report
from model_builder.errors import InvalidArtifact
from model_builder.networks.config import ResNetConfig
from model_builder.system.printable import shortlist
from model_builder.system.regular_file import read_regular_file

_MANIFEST_ADAPTER = TypeAdapter(Manifest)
_LABELS_ADAPTER = TypeAdapter(tuple[Label, ...])


def write_artifact(
    folder: Path,
    manifest: Manifest,
    labels: Sequence[Label],
    head: Head,
    golden: Golden,
    write_network: Callable[[Path], None],
    report: Report = (),
) -> None:
    """Writes the folder under a temporary name and renames it, replacing an earlier one.

    write_network: called with the path of `network/`, which does not exist yet.
    manifest: its `files` are replaced by the hashes of what was written.
    The caller holds the lock on `folder`. Raises InvalidArtifact where the number of labels or
    of the head's classes is not the architecture's.
    """
    classes = manifest.architecture.classes
    if not len(labels) == classes == head.bias.shape[0]:
        raise InvalidArtifact(
            f"{manifest.name} has {classes} classes. "
            f"Received: {len(labels)} labels, a head of {head.bias.shape[0]}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = f".building-{folder.name}-"
    # The caller holds the lock: these were left by killed processes.
    for stale in folder.parent.glob(f"{building}*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=building))
    try:
        write_network(temporary / NETWORK)
        (temporary / HEAD).write_bytes(save(_head_tensors(head)))
        (temporary / GOLDEN).write_bytes(save({"pixels": golden.pixels, "logits": golden.logits}))
        (temporary / LABELS).write_bytes(_LABELS_ADAPTER.dump_json(tuple(labels), indent=1))
        manifest = replace(manifest, files=_digests(temporary))
        (temporary / MANIFEST).write_bytes(_MANIFEST_ADAPTER.dump_json(manifest, indent=2))
        write_report(temporary, report)
        temporary.chmod(0o755)
        if folder.exists():
            shutil.move(folder, temporary.with_name(temporary.name + "-replaced"))
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(temporary.with_name(temporary.name + "-replaced"), ignore_errors=True)


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone, unverified. Raises InvalidArtifact."""
    try:
        manifest = _MANIFEST_ADAPTER.validate_json(read_regular_file(folder / MANIFEST))
    except OSError as error:
        raise InvalidArtifact(f"{folder} is no artifact: {error}") from error
    except ValidationError as error:
        raise InvalidArtifact(f"{folder / MANIFEST}: {_first_problem(error)}") from error
    if manifest.format not in (FORMAT, EXTENDED_FORMAT):
        raise InvalidArtifact(
            f"{folder} has format {manifest.format}; this version reads {FORMAT} and "
            f"{EXTENDED_FORMAT}."
        )
    return manifest


def read_artifact(folder: Path) -> Artifact:
    """The artifact, with every file verified against its sha256. Raises InvalidArtifact."""
    manifest = read_manifest(folder)
    found = _digests(folder)
    if found != manifest.files:
        changed = sorted(
            name
            for name in found.keys() | manifest.files.keys()
            if found.get(name) != manifest.files.get(name)
        )
        raise InvalidArtifact(f"{folder} is not as it was written: {shortlist(changed)}")
    try:
        labels = _LABELS_ADAPTER.validate_json((folder / LABELS).read_bytes())
    except OSError as error:
        raise InvalidArtifact(f"{folder}: {error}") from error
    except ValidationError as error:
        raise InvalidArtifact(f"{folder / LABELS}: {_first_problem(error)}") from error
    head = _read_head(folder / HEAD, manifest.architecture)
    golden = Golden(*_tensors(folder / GOLDEN, "pixels", "logits"))
    for name, values in (*_head_tensors(head).items(), ("logits", golden.logits)):
        if not np.isfinite(values).all():
            raise InvalidArtifact(
                f"{folder} was built from weights that are infinite or not a number; see its "
                f"{'head' if name != 'logits' else name}. Import sound weights."
            )
    _check_head(folder, head, manifest.architecture, len(labels))
    return Artifact(folder, manifest, labels, head, golden, read_report(folder))


def _head_tensors(head: Head) -> dict[str, npt.NDArray[np.float32]]:
    """By their names in the file."""
    tensors = {"kernel": head.kernel, "bias": head.bias}
    for index, layer in enumerate(head.hidden):
        tensors |= {f"hidden_{index}/kernel": layer.kernel, f"hidden_{index}/bias": layer.bias}
    return tensors


def _read_head(path: Path, architecture: ResNetConfig) -> Head:
    hidden = []
    for index, layer in enumerate(architecture.hidden_layers):
        kernel, bias = _tensors(path, f"hidden_{index}/kernel", f"hidden_{index}/bias")
        hidden.append(Dense(kernel, bias, layer.activation))
    kernel, bias = _tensors(path, "kernel", "bias")
    return Head(kernel, bias, tuple(hidden), architecture.activation)


def _check_head(folder: Path, head: Head, architecture: ResNetConfig, labels: int) -> None:
    """Raises InvalidArtifact unless the layers' shapes are the architecture's."""
    layers: tuple[Dense | Head, ...] = (*head.hidden, head)
    found = [(layer.kernel.shape, layer.bias.shape) for layer in layers]
    expected = [(shape, shape[1:]) for shape in architecture.head_shapes()]
    if found != expected or labels != architecture.classes:
        shown = " then ".join(str(shape) for shape in architecture.head_shapes())
        received = ", ".join(f"{kernel}, {bias}" for kernel, bias in found)
        raise InvalidArtifact(
            f"{folder}: the head should be {shown}. Received: {received}, {labels} labels"
        )


def _tensors(path: Path, *names: str) -> list[npt.NDArray[Any]]:
    try:
        tensors = load_file(path)
        return [tensors[name] for name in names]
    except (OSError, SafetensorError, KeyError) as error:
        raise InvalidArtifact(f"{path}: {error}") from error


def _first_problem(error: ValidationError) -> str:
    """The path of the first invalid field, if there is one, and the reason."""
    first = error.errors()[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))


def _digests(folder: Path) -> dict[str, str]:
    """sha256 of every file but the manifest and the report, by its path within the folder."""
    digests = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name in (MANIFEST, REPORT):
            continue
        digests[name] = checksum(path, "sha256")
    return digests
