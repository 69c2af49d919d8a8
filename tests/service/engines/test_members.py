"""Grouped convolutions, deep stems, average pools, grey and several dense layers, by engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_builder.artifact.labels import Label
from model_builder.artifact.preprocessing import imagenet_rgb
from model_builder.artifact.store_format import read_artifact
from model_builder.build.builder import build_artifact
from model_builder.checkpoints.custom import CustomCheckpoint
from model_builder.checkpoints.loader import Weights
from model_builder.networks.config import ResNetConfig
from model_builder.networks.head import HiddenLayer
from model_builder.networks.resnet import build_resnet
from service.engines.base import Hardware
from service.engines.registry import engine_called, load_engines
from service.evaluation.verify import verify
from tests.model_builder.random_networks import randomise, tensors_of
from tests.model_builder.reference import random_images

# The last feature map is 2x2: LiteRT reshapes one of 1x1, to a batch of one.
SIZE = 64
CLASSES = 7
# Of the logits of two unrelated networks the largest difference is several deviations.
INT8_DEVIATIONS = 1.0
NETWORKS = {
    # ResNeXt with ResNet-D's stem and shortcuts, in four blocks.
    "grouped": ResNetConfig(
        "grouped",
        "bottleneck",
        (1, 1, 1, 1),
        classes=CLASSES,
        cardinality=32,
        width_per_group=4,
        stem="deep",
        stem_widths=(32, 32),
        average_pool_shortcut=True,
        hidden_layers=(HiddenLayer(16), HiddenLayer(9, "none")),
        activation="sigmoid",
    ),
    "grey": ResNetConfig(
        "grey", "basic", (1, 1, 1, 1), classes=CLASSES, stem="3x3", input_channels=1
    ),
}
TARGETS = [
    ("tensorflow", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    ("litert", "int8"),
]


@pytest.mark.parametrize(("engine", "precision"), TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_an_engine_gives_the_golden_logits(
    name: str, engine: str, precision: str, tmp_path: Path
) -> None:
    """The golden logits are the network's before batch norm is fused and the network exported."""
    if precision == "int8" and engine == "openvino":
        pytest.importorskip("nncf")
    architecture = NETWORKS[name]
    recipe = replace(imagenet_rgb(256, "bilinear"), resize_edge=SIZE, crop_size=SIZE)
    if architecture.input_channels == 1:
        recipe = replace(recipe, mean=(120.0,) * 3, std=(60.0,) * 3)
    network = build_resnet(architecture, input_size=SIZE)
    pixels = random_images(8, size=SIZE, seed=0)[..., : architecture.input_channels]
    randomise(network, ((pixels.astype(np.float32) - 128) / 64).astype(np.float32), seed=0)
    labels = tuple(Label(str(index)) for index in range(CLASSES))
    custom = CustomCheckpoint("tiny", architecture, recipe, labels, "file:tiny", "")
    weights = Weights(tensors_of(network), labels, "file:tiny", "")
    target = engine_called(engine).target(precision)  # type: ignore[arg-type]
    build_artifact(custom.row(), weights, tmp_path / "artifact", target)
    artifact = read_artifact(tmp_path / "artifact")
    loaded, *_ = load_engines(artifact, Hardware("cpu", 2))
    found = verify(artifact, loaded)
    # A network of this size whose weights are random loses more to int8 than a trained one.
    limit = INT8_DEVIATIONS if precision == "int8" else found.tolerance
    assert found.difference <= limit, found
    for size in (1, 3):
        assert len(loaded.run(np.zeros((size, SIZE, SIZE, 3), np.uint8))) == size
