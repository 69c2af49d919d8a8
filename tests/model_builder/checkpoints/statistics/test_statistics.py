"""What a network computes, against Keras; and which network the batch norms' statistics are of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import keras
import numpy as np
import numpy.typing as npt
import pytest

from model_builder.build.calibration import shipped_crops
from model_builder.checkpoints.catalog import find_checkpoint
from model_builder.checkpoints.infer_config import variables
from model_builder.checkpoints.loader import assign
from model_builder.checkpoints.statistics.check import (
    alternatives,
    check_statistics,
    distance,
    normalized,
)
from model_builder.checkpoints.statistics.forward import Wiring, _grouped, _Network, observe
from model_builder.networks.blocks import Convolution
from model_builder.networks.config import ResNetConfig
from model_builder.networks.resnet import build_resnet

Array = npt.NDArray[np.float32]
RECIPE = replace(find_checkpoint("resnet50.tv_in1k").preprocessing, resize_edge=64, crop_size=64)


def random_tensors(architecture: ResNetConfig) -> dict[str, Array]:
    random = np.random.default_rng(0)
    found = {}
    for name, shape in variables(architecture).items():
        values: Any = random.normal(size=shape)
        if name.endswith("/kernel"):
            values *= np.sqrt(2 / np.prod(shape[:-1]))
        elif name.endswith(("/gamma", "/moving_variance")):
            values = random.uniform(0.5, 1.5, shape)
        found[name] = values.astype(np.float32)
    return found


class Training(_Network):
    """Keeps the moments of each layer as its statistics before it normalizes by them."""

    def _convolution(self, x: Array, spec: Convolution, stride: int) -> Array:
        kernel = self._tensors[f"{spec.name}/kernel"]
        y = _grouped(x, kernel, stride, spec.groups)
        tensors = cast(dict[str, Array], self._tensors)
        tensors[f"{spec.batch_norm}/moving_mean"] = y.mean((0, 1, 2))
        tensors[f"{spec.batch_norm}/moving_variance"] = y.var((0, 1, 2))
        return super()._convolution(x, spec, stride)


def trained(architecture: ResNetConfig, images: Array, wiring: Wiring) -> dict[str, Array]:
    """Random weights with the statistics that training with this wiring would leave."""
    tensors = random_tensors(architecture)
    Training(tensors, architecture, wiring).run(images)
    return tensors


@pytest.mark.parametrize(
    "architecture",
    [
        ResNetConfig.of("resnet18"),
        ResNetConfig.of("resnet18", shortcut="A"),
        ResNetConfig.of("resnet18", shortcut="none"),
        ResNetConfig.of("resnet50", stride_in_1x1=True),
        ResNetConfig.of("resnet50d"),
        ResNetConfig.of("resnext50_32x4d"),
        replace(ResNetConfig.of("resnet18"), stem="3x3"),
    ],
    ids=lambda one: f"{one.name}-{one.shortcut}-{one.stem}-{one.stride_in_1x1}",
)
def test_it_computes_what_keras_computes(architecture: ResNetConfig) -> None:
    tensors = random_tensors(architecture)
    images = np.random.default_rng(1).normal(size=(2, 65, 65, 3)).astype(np.float32)
    network = build_resnet(architecture, input_size=65)
    assign(network, tensors, architecture)
    layers = {spec.batch_norm: network.get_layer(spec.name) for spec in architecture.convolutions()}
    inner = keras.Model(network.input, {name: layer.output for name, layer in layers.items()})
    expected = inner.predict(images, verbose=0)
    received = observe(tensors, architecture, images, Wiring(architecture.stride_in_1x1))
    assert received.keys() == expected.keys()
    for name, values in expected.items():
        scale = float(np.abs(values).max())
        np.testing.assert_allclose(
            received[name].mean, values.mean((0, 1, 2)), atol=1e-4 * scale, err_msg=name
        )
        np.testing.assert_allclose(
            received[name].variance, values.var((0, 1, 2)), atol=1e-4 * scale**2, err_msg=name
        )


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_network_that_was_trained_is_found_among_its_likes(name: str) -> None:
    architecture = ResNetConfig.of(name)
    photos = shipped_crops(4, RECIPE)
    images = normalized(photos, RECIPE, 3)
    others = list(alternatives(architecture))
    assert len(others) == (2 if name == "resnet18" else 3)
    for wiring, called in others:
        tensors = trained(architecture, images, wiring)
        said = check_statistics(tensors, architecture, RECIPE, photos)
        assert len(said) == 1, called
        assert f"of another network: of {called}. Distance 0.0" in said[0]
    own = trained(architecture, images, Wiring(False))
    assert check_statistics(own, architecture, RECIPE, photos) == []


def test_images_that_are_prepared_in_another_way() -> None:
    architecture = ResNetConfig.of("resnet18")
    photos = shipped_crops(4, RECIPE)
    tensors = trained(architecture, normalized(photos, RECIPE, 3), Wiring(False))
    for other in (
        replace(RECIPE, mean=(0, 0, 0), std=(1, 1, 1)),
        replace(RECIPE, mean=(0, 0, 0), std=(1000, 1000, 1000)),
    ):
        (said,) = check_statistics(tensors, architecture, other, photos)
        assert "Either images are prepared in another way" in said


def test_a_channel_that_is_always_zero_counts_for_nothing() -> None:
    architecture = ResNetConfig.of("resnet18")
    photos = shipped_crops(1, RECIPE)
    images = normalized(photos, RECIPE, 3)
    tensors = trained(architecture, images, Wiring(False))
    tensors["bn1/moving_variance"][:32] = 0
    seen = observe(tensors, architecture, images, Wiring(False))
    assert distance(tensors, seen).of_layers["bn1"] < 1e-3
