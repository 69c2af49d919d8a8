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
from model_builder.artifact.confidence import CONFIDENCE, keep_confidence
from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import (
    FORMAT,
    GOLDEN,
    HEAD,
    LABELS,
    MANIFEST,
    NETWORK,
    Artifact,
    Golden,
    Head,
    Manifest,
)
from model_builder.artifact.report import REPORT, Report, read_report, write_report
from model_builder.errors import InvalidArtifact
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
        (temporary / HEAD).write_bytes(save({"kernel": head.kernel, "bias": head.bias}))
        (temporary / GOLDEN).write_bytes(save({"pixels": golden.pixels, "logits": golden.logits}))
        (temporary / LABELS).write_bytes(_LABELS_ADAPTER.dump_json(tuple(labels), indent=1))
        manifest = replace(manifest, files=_digests(temporary))
        (temporary / MANIFEST).write_bytes(_MANIFEST_ADAPTER.dump_json(manifest, indent=2))
        write_report(temporary, report)
        keep_confidence(folder, temporary)
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
    if manifest.format != FORMAT:
        raise InvalidArtifact(
            f"{folder} has format {manifest.format}; this version reads {FORMAT}."
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
    head = Head(*_tensors(folder / HEAD, "kernel", "bias"))
    golden = Golden(*_tensors(folder / GOLDEN, "pixels", "logits"))
    for name, values in (("head", head.kernel), ("head", head.bias), ("logits", golden.logits)):
        if not np.isfinite(values).all():
            raise InvalidArtifact(
                f"{folder} was built from weights that are infinite or not a number; see its "
                f"{name}. Import sound weights."
            )
    expected = (manifest.architecture.feature_width, manifest.architecture.classes)
    if (
        head.kernel.shape != expected
        or head.bias.shape != expected[1:]
        or len(labels) != expected[1]
    ):
        raise InvalidArtifact(
            f"{folder}: the head should be {expected}. "
            f"Received: {head.kernel.shape}, {head.bias.shape}, {len(labels)} labels"
        )
    return Artifact(folder, manifest, labels, head, golden, read_report(folder))


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
    """sha256 of every file by its path, but of the manifest and of what is measured later."""
    digests = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name in (MANIFEST, REPORT, CONFIDENCE):
            continue
        digests[name] = checksum(path, "sha256")
    return digests
