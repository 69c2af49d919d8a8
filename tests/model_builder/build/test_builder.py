"""The manifest that a build writes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_builder.artifact.labels import Label
from model_builder.artifact.preprocessing import CAFFE
from model_builder.build.builder import build_artifact, manifest
from model_builder.checkpoints.catalog import CHECKPOINTS
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.custom import CustomCheckpoint, write_custom
from model_builder.checkpoints.download.sources.hub import HubSource
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.checkpoints.download.sources.source import Source
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.checkpoints.formats import torch
from model_builder.checkpoints.loader import Weights, custom_weights
from model_builder.errors import ConversionFailed
from model_builder.exporters.base import BuildTarget
from model_builder.networks.config import ResNetConfig
from tests.model_builder.reference import random_state_dict


@pytest.mark.parametrize(
    ("row", "source"),
    [
        pytest.param(row, source, id=f"{row.name}-{source.format}")
        for row in CHECKPOINTS.values()
        for source in row.sources
    ],
)
def test_a_manifest_names_the_source_that_was_used(
    row: Checkpoint, source: Source, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    digest = source.digest(path)
    target = BuildTarget("tensorflow", "bfloat16", "model_builder.exporters.tensorflow")
    written = manifest(row, Weights({}, (), source.address, digest), target)
    if isinstance(source, NpmSource):
        expected = f"npm:{source.package}@{source.version}", source.integrity
    elif isinstance(source, UrlSource):
        expected = source.url, f"md5-{source.md5}"
    else:
        assert isinstance(source, HubSource)
        assert source.repository in source.address
        expected = (
            source.address,
            f"sha256-{source.sha256 or hashlib.sha256(b'weights').hexdigest()}",
        )
    assert (written.provenance.source, written.provenance.digest) == expected
    assert (written.name, written.provenance.checkpoint) == (row.name, row.name)
    assert (written.architecture, written.preprocessing) == (row.architecture, row.preprocessing)
    assert written.provenance.licence == row.licence
    assert written.precision == "bfloat16"


def test_earlier_versions_refuse_a_recipe_that_they_would_misread() -> None:
    """They ignore fields unknown to them, and would crop an image that is to be squashed."""
    row = CHECKPOINTS["resnet18.tv_in1k"]
    target = BuildTarget("tensorflow", "float32", "model_builder.exporters.tensorflow")
    weights = Weights({}, (), "file:x", "")
    assert manifest(row, weights, target).format == 2
    squash = replace(row, preprocessing=replace(row.preprocessing, resize_mode="squash"))
    assert manifest(squash, weights, target).format == 3


def small() -> tuple[Checkpoint, Weights]:
    """A ResNet-18 of three classes with images of 32 x 32."""
    state_dict = torch.to_state_dict(random_state_dict(18, np.random.default_rng(0), 3))
    labels = tuple(map(Label, "abc"))
    custom = CustomCheckpoint(
        "x",
        ResNetConfig.of("resnet18", classes=3),
        replace(CAFFE, resize_edge=32, crop_size=32),
        labels,
        "file:x",
        "",
    )
    return custom.row(), Weights(state_dict.tensors, labels, "file:x", "")


def test_a_network_that_gives_no_numbers_is_not_built(tmp_path: Path) -> None:
    """Its weights are numbers, and too large."""
    row, weights = small()
    weights.tensors["layer4_1_bn2/gamma"] = np.full(512, 3e38, np.float32)
    target = BuildTarget("tensorflow", "float32", "model_builder.exporters.tensorflow")
    with pytest.raises(ConversionFailed, match="x gives logits that are infinite or not a number"):
        build_artifact(row, weights, tmp_path / "artifact", target)
    assert list(tmp_path.iterdir()) == []


def test_an_imports_weights_are_checked_when_they_are_loaded(tmp_path: Path) -> None:
    """They may have been imported by a version that took any."""
    row, weights = small()
    weights.tensors["conv1/kernel"] = np.full((7, 7, 3, 64), np.nan, np.float32)
    custom = CustomCheckpoint("x", row.architecture, row.preprocessing, weights.labels, "", "")
    write_custom(tmp_path, custom, weights.tensors)
    with pytest.raises(ConversionFailed, match=r"not a number in conv1/kernel \(9408 of 9408\)"):
        custom_weights(tmp_path, custom)
