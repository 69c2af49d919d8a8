"""Files that earlier versions wrote, whose architecture is a depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import MANIFEST
from model_builder.artifact.preprocessing import CAFFE
from model_builder.artifact.store_format import read_manifest
from model_builder.checkpoints.custom import (
    CHECKPOINT,
    CustomCheckpoint,
    list_custom,
    read_custom,
    write_custom,
)
from model_builder.errors import ConversionFailed
from model_builder.networks.config import ResNetConfig

EARLIER = {
    "depth": 18,
    "shortcut": "B",
    "stride_in_1x1": True,
    "batch_norm_epsilon": 1.001e-5,
    "classes": 3,
}
CONFIG = ResNetConfig.of("resnet18", "B", True, 1.001e-5, 3)


def state_architecture(path: Path, architecture: dict[str, Any]) -> None:
    """Replaces the network's description in the file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "architecture": architecture}), encoding="utf-8")


def imported(folder: Path) -> Path:
    """Writes a checkpoint called "flowers", and returns its JSON file."""
    labels = (Label("cat"), Label("dog"), Label("cheese"))
    write_custom(folder, CustomCheckpoint("flowers", CONFIG, CAFFE, labels, "flowers.h5", ""), {})
    return folder / "flowers" / CHECKPOINT


def test_a_manifest_is_read(folder: Path) -> None:
    written = read_manifest(folder)
    state_architecture(folder / MANIFEST, EARLIER)
    assert read_manifest(folder) == written
    assert written.architecture == CONFIG


def test_an_imported_checkpoint_is_read(tmp_path: Path) -> None:
    path = imported(tmp_path)
    state_architecture(path, EARLIER)
    assert read_custom(tmp_path, "flowers").architecture == CONFIG
    assert [one.name for one in list_custom(tmp_path)] == ["flowers"]


def test_a_depth_that_is_not_in_the_family_is_refused(tmp_path: Path) -> None:
    state_architecture(imported(tmp_path), {**EARLIER, "depth": 20})
    with pytest.raises(ConversionFailed, match=r"depth must be one of 18, .* Received: 20"):
        read_custom(tmp_path, "flowers")
