"""Networks for tests: shapes only, or random weights with the statistics of trained ones."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from model_builder.networks.config import ResNetConfig
from model_builder.networks.resnet import build_resnet
from tests.model_builder.reference import random_images

Array = npt.NDArray[np.float32]

LAST_OF_BOTTLENECK = ("_bn3", "_3_bn")


@cache
def shapes_only(architecture: ResNetConfig, **options: Any) -> keras.Model:
    """The network with declared variables that are not initialized: no memory, little time.

    Made once; tests must not change it.
    """
    with keras.StatelessScope(initialize_variables=False):
        return build_resnet(architecture, **options)


def random_network(architecture: ResNetConfig, *, input_size: int, seed: int = 0) -> keras.Model:
    network = build_resnet(architecture, input_size=input_size)
    pixels = random_images(8, size=input_size, seed=seed)
    randomise(network, (pixels.astype(np.float32) - np.float32(128)) / np.float32(64), seed=seed)
    return network


def randomise(network: keras.Model, inputs: Array, *, seed: int) -> None:
    """Fills every variable and bias at random; running statistics are those of `inputs`."""
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        shape = tuple(variable.shape)
        layer_name, field = variable.path.split("/")[-2:]
        if field == "kernel":
            fan_in = np.prod(shape[:-1])
            values = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / fan_in))
        elif field == "gamma":
            # Small scales at the ends of blocks: otherwise depth multiplies every rounding error.
            small = layer_name.endswith(LAST_OF_BOTTLENECK)
            values = rng.uniform(0.5, 1.5, shape).astype(np.float32) * np.float32(
                0.2 if small else 1
            )
        else:
            values = rng.normal(0, 0.3, shape).astype(np.float32)
        variable.assign(values)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(inputs, training=True)


def tensors_of(network: keras.Model) -> dict[str, Array]:
    """The input of `loader.assign`: "conv1/kernel", "bn1/gamma", ... to arrays."""
    return {"/".join(v.path.split("/")[-2:]): v.numpy() for v in network.weights}


def same_padded(network: keras.Model) -> keras.Model:
    """The network with Keras's own padding: equal shapes, other results."""

    def same_padding(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return keras.layers.Identity(name=layer.name)
        if config.get("padding") == "valid":
            config["padding"] = "same"
        return layer.__class__.from_config(config)

    wrong = keras.models.clone_model(network, clone_function=same_padding)
    wrong.set_weights(network.get_weights())
    return wrong


def relative_difference(received: Any, expected: Any) -> float:
    """The largest difference, in units of the expected values' standard deviation."""
    received, expected = np.asarray(received, np.float64), np.asarray(expected, np.float64)
    assert received.shape == expected.shape
    return float(np.abs(received - expected).max() / expected.std())
