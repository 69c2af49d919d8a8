"""From a hub checkpoint's file to logits: the artifact on disk, the engine, the classifier."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_builder.artifact.labels import imagenet1k
from model_builder.artifact.store_format import read_artifact
from model_builder.build.builder import build_artifact
from model_builder.checkpoints.catalog import CHECKPOINTS
from model_builder.checkpoints.download.fetch import LocalFile
from model_builder.checkpoints.loader import Weights, read_tensors
from service.engines.base import Hardware
from service.engines.registry import engine_called, load_engines
from service.inference.outputs import logits
from tests.model_builder.published import TOLERANCE
from tests.model_builder.random_networks import relative_difference
from tests.model_builder.reference import (
    normalized,
    random_images,
    random_reference,
)
from tests.model_builder.torch_layout import save_safetensors, transformers_name


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "resnet18.ms_in1k"])
def test_logits_of_the_artifact_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    row = CHECKPOINTS[name]
    reference = random_reference(18, seed=18, classes=1000)
    state_dict = reference.state_dict
    if name == "resnet18.ms_in1k":
        state_dict = {transformers_name(key): values for key, values in state_dict.items()}
    path = save_safetensors(tmp_path / "model.safetensors", state_dict)
    tensors = read_tensors(LocalFile(path, row.sources[0]), row.architecture)
    weights = Weights(tensors, imagenet1k(), str(path), "")
    build_artifact(
        row, weights, tmp_path / "artifact", engine_called("tensorflow").target("float32")
    )
    artifact = read_artifact(tmp_path / "artifact")
    hardware = Hardware(device="cpu", cpu_threads=2)
    images = random_images(2, seed=1, size=224)
    features = load_engines(artifact, hardware)[0].run(images)
    expected = reference.logits(normalized(images))
    assert relative_difference(logits(features, artifact.head), expected) < TOLERANCE
