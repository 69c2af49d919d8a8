"""Damage of every kind to an artifact is detected, and the error names the file."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from model_builder.artifact.manifest import EXTENDED_FORMAT
from model_builder.artifact.store_format import read_artifact, read_manifest
from model_builder.errors import InvalidArtifact
from tests.model_builder.tiny_artifact import HEAD


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def rehash(folder: Path, name: str) -> None:
    """Writes a file's present hash into the manifest, so that only the content is wrong."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    edit(folder, lambda manifest: manifest["files"].update({name: digest}))


def change_a_byte(folder: Path) -> None:
    content = bytearray((folder / "head.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "head.safetensors").write_bytes(content)


def cut_off(folder: Path) -> None:
    (folder / "network" / "saved_model.pb").write_bytes(b"gra")


def lose_a_file(folder: Path) -> None:
    (folder / "network" / "variables" / "index").unlink()


def add_a_file(folder: Path) -> None:
    (folder / "network" / "new.bin").write_bytes(b"")


def rename_a_label(folder: Path) -> None:
    path = folder / "labels.json"
    path.write_text(path.read_text(encoding="utf-8").replace("cat", "rat"), encoding="utf-8")


def damage_two(folder: Path) -> None:
    cut_off(folder)
    rename_a_label(folder)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (change_a_byte, "head.safetensors"),
        (cut_off, "network/saved_model.pb"),
        (lose_a_file, "network/variables/index"),
        (add_a_file, "network/new.bin"),
        (rename_a_label, "labels.json"),
        (damage_two, "labels.json, network/saved_model.pb"),
    ],
)
def test_damage(folder: Path, damage: Callable[[Path], None], named: str) -> None:
    damage(folder)
    with pytest.raises(InvalidArtifact, match=rf"^{folder} is not as it was written: {named}$"):
        read_artifact(folder)


def lose_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def cut_off_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"name": "resnet18')


def empty_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lose_the_manifest, "manifest.json"),
        (cut_off_the_manifest, "manifest.json: Invalid JSON"),
        (empty_the_manifest, "manifest.json: Invalid JSON"),
        (lambda f: edit(f, lambda m: m.pop("precision")), "manifest.json: precision: Field req"),
        (lambda f: edit(f, lambda m: m.update(precision="int3")), "manifest.json: precision: "),
        (
            lambda f: edit(f, lambda m: m["architecture"].update(layers=[2, 2, 2, 3])),
            "manifest.json: architecture: .*resnet18 has ",
        ),
        (lambda f: edit(f, lambda m: m.update(format=EXTENDED_FORMAT + 1)), "has format 4; "),
    ],
)
def test_an_unreadable_manifest(folder: Path, damage: Callable[[Path], None], named: str) -> None:
    damage(folder)
    with pytest.raises(InvalidArtifact, match=named):
        read_manifest(folder)
    with pytest.raises(InvalidArtifact, match=named):
        read_artifact(folder)


def two_labels(folder: Path) -> None:
    (folder / "labels.json").write_text('[{"name": "cat"}, {"name": "dog"}]')
    rehash(folder, "labels.json")


def other_labels(folder: Path) -> None:
    (folder / "labels.json").write_text('["cat", "dog", "cheese"]')
    rehash(folder, "labels.json")


def a_narrow_head(folder: Path) -> None:
    save_file({"kernel": HEAD.kernel[:64].copy(), "bias": HEAD.bias}, folder / "head.safetensors")
    rehash(folder, "head.safetensors")


def a_head_without_bias(folder: Path) -> None:
    save_file({"kernel": HEAD.kernel}, folder / "head.safetensors")
    rehash(folder, "head.safetensors")


def a_head_of_another_format(folder: Path) -> None:
    (folder / "head.safetensors").write_bytes(b"PK\x03\x04")
    rehash(folder, "head.safetensors")


def with_tensor(name: str, tensor: str, value: float) -> Callable[[Path], None]:
    """One element of it another."""

    def damage(folder: Path) -> None:
        tensors = load_file(folder / name)
        tensors[tensor].reshape(-1)[1] = value
        save_file(tensors, folder / name)
        rehash(folder, name)

    return damage


def never_listed(folder: Path, name: str) -> None:
    (folder / name).unlink()
    edit(folder, lambda manifest: manifest["files"].pop(name))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: never_listed(f, "labels.json"), "No such file or directory: .*labels.json"),
        (lambda f: never_listed(f, "head.safetensors"), "No such file .*head.safetensors"),
        (two_labels, r"the head should be \(512, 3\)\. Received: \(512, 3\), \(3,\), 2 labels"),
        (other_labels, "labels.json: 0: "),
        (a_narrow_head, r"the head should be \(512, 3\)\. Received: \(64, 3\), \(3,\), 3 labels"),
        (a_head_without_bias, "head.safetensors: 'bias'"),
        (a_head_of_another_format, "head.safetensors: "),
        (
            with_tensor("head.safetensors", "kernel", np.nan),
            "infinite or not a number; see its head",
        ),
        (with_tensor("head.safetensors", "bias", np.inf), "infinite or not a number; see its head"),
        (with_tensor("golden.safetensors", "logits", np.nan), "not a number; see its logits"),
    ],
)
def test_parts_of_different_sizes(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder)
    with pytest.raises(InvalidArtifact, match=message):
        read_artifact(folder)


def test_an_artifact_that_was_written_without_a_network(folder: Path) -> None:
    shutil.rmtree(folder / "network")
    edit(
        folder,
        lambda manifest: manifest.update(
            files={name: one for name, one in manifest["files"].items() if "network" not in name}
        ),
    )
    with pytest.raises(InvalidArtifact, match="has no network: no file in network/"):
        read_artifact(folder)
