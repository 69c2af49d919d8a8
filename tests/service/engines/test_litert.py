"""An int8 network on the CPU: every batch size, and what can't be run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_builder.artifact.head import Head
from model_builder.artifact.manifest import LITERT_MODEL, Artifact
from model_builder.artifact.preprocessing import CAFFE
from model_builder.artifact.store_format import read_artifact, write_artifact
from model_builder.build.builder import golden
from model_builder.build.calibration import calibration_set
from model_builder.errors import BuilderError, InvalidArtifact
from model_builder.exporters.base import calibration_of
from model_builder.exporters.litert import quantize, write_litert
from model_builder.networks.config import ResNetConfig
from model_builder.networks.fuse_batch_norm import fuse_batch_norm
from service.engines.base import Hardware
from service.engines.litert import MAX_BATCH_SIZE, LiteRTEngine
from service.engines.registry import load_engines
from service.evaluation.verify import verify
from tests.model_builder.random_networks import random_network
from tests.model_builder.reference import random_images
from tests.model_builder.tiny_artifact import LABELS, MANIFEST

SIZE = 64
PREPROCESSING = replace(CAFFE, resize_edge=72, crop_size=SIZE)
HARDWARE = Hardware("auto", cpu_threads=2)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A ResNet-18 of random weights and three classes."""
    architecture = ResNetConfig.of("resnet18", classes=len(LABELS))
    network = random_network(architecture, input_size=SIZE)
    inference = fuse_batch_norm(network, architecture, PREPROCESSING, pixels_dtype="float32")
    images = calibration_set(None, PREPROCESSING)
    model = quantize(inference, images.crops, lambda _: None)
    kernel, bias = network.get_layer("fc").get_weights()
    folder = tmp_path_factory.mktemp("int8") / "artifact"
    manifest = replace(
        MANIFEST,
        architecture=architecture,
        preprocessing=PREPROCESSING,
        engine="litert",
        precision="int8",
        calibration=calibration_of(images),
    )
    write_artifact(
        folder,
        manifest,
        LABELS,
        Head(kernel, bias),
        golden(network, PREPROCESSING),
        lambda path: write_litert(model, path),
    )
    return read_artifact(folder)


@pytest.fixture(scope="module")
def engine(artifact: Artifact) -> LiteRTEngine:
    (engine,) = load_engines(artifact, HARDWARE)
    assert isinstance(engine, LiteRTEngine)
    return engine


def test_its_properties(engine: LiteRTEngine) -> None:
    assert (engine.device, engine.max_batch_size) == ("cpu:0", MAX_BATCH_SIZE)


def test_an_image_gets_the_same_features_in_a_batch_of_any_size(engine: LiteRTEngine) -> None:
    pixels = random_images(5, size=SIZE, seed=6)
    alone = np.concatenate([engine.run(image[None]) for image in pixels])
    assert alone.dtype == np.float32
    assert alone.shape == (5, 2, 2, 512)
    assert float(np.abs(alone[0] - alone[1]).mean()) > 0.1 * float(alone.std())
    for size in (2, 3, 5):
        np.testing.assert_array_equal(engine.run(pixels[:size]), alone[:size])


def test_features_outlive_the_next_batch(engine: LiteRTEngine) -> None:
    first, second = random_images(2, size=SIZE, seed=7)
    kept = engine.run(first[None])
    before = kept.copy()
    engine.run(second[None])
    np.testing.assert_array_equal(kept, before)


def test_a_size_that_was_freed_can_be_run_again(engine: LiteRTEngine) -> None:
    pixels = random_images(2, size=SIZE, seed=8)
    before = engine.run(pixels)
    engine.retain_sizes((1,))
    np.testing.assert_array_equal(engine.run(pixels), before)


def test_its_logits_are_close_to_the_float32_network(
    artifact: Artifact, engine: LiteRTEngine
) -> None:
    result = verify(artifact, engine)
    assert result.passed
    assert result.difference > 0.001


def test_a_gpu_is_refused(artifact: Artifact) -> None:
    with pytest.raises(BuilderError, match="int8 is for CPUs"):
        load_engines(artifact, Hardware("gpu", cpu_threads=1))


def test_a_file_that_is_no_model_is_named(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / LITERT_MODEL).write_bytes(b"no model")
    (engine,) = load_engines(replace(artifact, folder=tmp_path), HARDWARE)
    with pytest.raises(InvalidArtifact, match=r"model\.tflite can't be run"):
        engine.run(np.zeros((1, SIZE, SIZE, 3), np.uint8))
