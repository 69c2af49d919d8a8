"""Artifacts written, read back and replaced."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_builder.artifact.head import Head
from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import Artifact
from model_builder.artifact.store_format import read_artifact, read_manifest, write_artifact
from model_builder.errors import InvalidArtifact
from tests.model_builder.tiny_artifact import GOLDEN, HEAD, LABELS, MANIFEST, write_network


def test_what_is_written_is_read_back(folder: Path) -> None:
    artifact = read_artifact(folder)
    assert isinstance(artifact, Artifact)
    assert replace(artifact.manifest, files={}) == MANIFEST
    assert artifact.labels == LABELS
    np.testing.assert_array_equal(artifact.head.kernel, HEAD.kernel)
    np.testing.assert_array_equal(artifact.head.bias, HEAD.bias)
    assert artifact.head.kernel.dtype == np.float32
    assert (artifact.network / "variables" / "index").read_bytes() == b"weights"
    assert read_manifest(folder) == artifact.manifest


def test_the_manifest_has_the_hash_of_every_other_file(folder: Path) -> None:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert sorted(files) == [
        "golden.safetensors",
        "head.safetensors",
        "labels.json",
        "network/saved_model.pb",
        "network/variables/index",
    ]
    for name, digest in files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_other_users_can_read_an_artifact(folder: Path) -> None:
    """A container image is built as one user and run as another."""
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask, path


def test_an_artifact_may_be_moved(folder: Path, tmp_path: Path) -> None:
    moved = folder.rename(tmp_path / "elsewhere")
    assert read_artifact(moved).network == moved / "network"


@pytest.mark.parametrize(
    ("labels", "head"),
    [(LABELS[:2], HEAD), (LABELS, Head(HEAD.kernel[:, :2].copy(), HEAD.bias[:2]))],
    ids=["labels", "head"],
)
def test_parts_of_different_sizes_are_not_written(
    tmp_path: Path, labels: tuple[Label, ...], head: Head
) -> None:
    with pytest.raises(InvalidArtifact, match=r"^resnet18\.test_in1k has 3 classes\. Received: "):
        write_artifact(tmp_path / "tiny", MANIFEST, labels, head, GOLDEN, write_network)
    assert list(tmp_path.iterdir()) == []


def test_a_new_artifact_replaces_the_old_one(folder: Path) -> None:
    (folder / "left over").write_bytes(b"")
    write_artifact(
        folder, replace(MANIFEST, precision="bfloat16"), LABELS, HEAD, GOLDEN, write_network
    )
    assert read_artifact(folder).manifest.precision == "bfloat16"
    assert list(folder.parent.iterdir()) == [folder]


class DiskFull(Exception):
    pass


def half_a_network(folder: Path) -> None:
    write_network(folder)
    raise DiskFull


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DiskFull):
        write_artifact(tmp_path / "tiny", MANIFEST, LABELS, HEAD, GOLDEN, half_a_network)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_writer_leaves_the_old_artifact(folder: Path) -> None:
    before = read_artifact(folder).manifest
    with pytest.raises(DiskFull):
        write_artifact(folder, replace(MANIFEST, name="new"), LABELS, HEAD, GOLDEN, half_a_network)
    assert read_artifact(folder).manifest == before
    assert list(folder.parent.iterdir()) == [folder]


def test_readers_never_see_a_partial_artifact(folder: Path) -> None:
    seen = []

    def look_while_writing(network: Path) -> None:
        write_network(network)
        seen.append((read_artifact(folder).manifest.name, network.parent.stat().st_ino))

    write_artifact(folder, replace(MANIFEST, name="new"), LABELS, HEAD, GOLDEN, look_while_writing)
    # The folder that was written is the one that is there: it was renamed, not copied.
    assert seen == [(MANIFEST.name, folder.stat().st_ino)]
    assert read_artifact(folder).manifest.name == "new"


def test_the_leftovers_of_a_killed_writer_are_removed(folder: Path) -> None:
    own = folder.with_name(".building-tiny-abc")
    another = folder.with_name(".building-large-abc")
    for left in (own, another):
        left.mkdir()
    write_artifact(folder, MANIFEST, LABELS, HEAD, GOLDEN, write_network)
    assert not own.exists()
    assert another.exists()
