"""Classifiers of several layers in Keras's files: the network that is built gives their logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from model_builder.build.builder import build_network
from model_builder.checkpoints.formats.keras.config import read_config
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from model_builder.networks.resnet import build_resnet
from tests.model_builder.checkpoints.formats.test_keras_recipe import config_of
from tests.model_builder.keras_files import ARCHITECTURE, saved

# Keras's HDF5 writer raises this with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
EDGE = 32
Head = Callable[[Any], Any]


@pytest.fixture(scope="module")
def body() -> keras.Model:
    return build_resnet(ARCHITECTURE, input_size=EDGE, head=False)


def hidden(x: Any) -> Any:
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.5)(layers.Dense(16, activation="relu")(x))
    return layers.Dense(7, activation="softmax")(x)


def normalized(x: Any) -> Any:
    x = layers.BatchNormalization(epsilon=0.01)(layers.GlobalAveragePooling2D()(x))
    return layers.Activation("sigmoid")(layers.Dense(7)(x))


def normalized_between(x: Any) -> Any:
    x = layers.Dense(16, use_bias=False)(layers.Flatten()(layers.GlobalAveragePooling2D()(x)))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Dense(8)(x))
    return layers.Dense(7)(layers.GaussianNoise(0.1)(x))


def averaged(x: Any) -> Any:
    x = layers.Flatten()(layers.AveragePooling2D(1)(x))
    return layers.Softmax()(layers.Dense(7, use_bias=False)(x))


def randomized(network: keras.Model) -> None:
    random = np.random.default_rng(0)
    for layer in network.layers[-8:]:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, one.shape) for one in layer.get_weights()])


@pytest.mark.parametrize(
    ("head", "name", "activation"),
    [
        (hidden, "hidden.keras", "softmax"),
        (normalized, "normalized.h5", "sigmoid"),
        (normalized_between, "between.keras", None),
        (averaged, "averaged.h5", "softmax"),
    ],
)
def test_the_logits_are_those_of_the_network(
    body: keras.Model, head: Head, name: str, activation: str | None, tmp_path: Path
) -> None:
    image = keras.Input((EDGE, EDGE, 3))
    network = keras.Model(image, head(body(layers.RandomFlip()(image))))
    randomized(network)
    received = read_checkpoint(saved(network, tmp_path / name))
    assert (received.activation, received.classes) == (activation, 7)
    ours = build_network(received.architecture(), received.tensors, EDGE)
    pixels = np.random.default_rng(1).normal(size=(2, EDGE, EDGE, 3)).astype(np.float32)
    logits = np.asarray(ours(pixels, training=False), np.float64)
    expected = np.asarray(network(pixels, training=False))
    if activation == "softmax":
        logits = np.exp(logits - logits.max(axis=1, keepdims=True))
        logits /= logits.sum(axis=1, keepdims=True)
    elif activation == "sigmoid":
        logits = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def test_a_whole_pipeline_in_a_sequence(body: keras.Model, tmp_path: Path) -> None:
    """As tutorials write it: augmentation, rescaling, a base, pooling and one sigmoid."""
    normalization = layers.Normalization(name="adapted")
    normalization.adapt(np.random.default_rng(0).uniform(0, 255, (8, 4, 4, 3)))
    augmentation = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)])
    parts = [normalization, augmentation, body, layers.GlobalAveragePooling2D()]
    network = keras.Sequential(
        [keras.Input((EDGE, EDGE, 3)), *parts, layers.Dense(1, activation="sigmoid")]
    )
    for name in ("whole.keras", "whole.h5"):
        received = read_checkpoint(saved(network, tmp_path / name))
        assert (received.activation, received.classes, received.depth) == ("sigmoid", 1, 18)
        assert received.recipe is not None
        mean, variance, _ = normalization.get_weights()
        assert received.recipe.fields["mean"] == pytest.approx(mean)
        assert received.recipe.fields["std"] == pytest.approx(np.sqrt(variance))
        assert received.recipe.fields["crop_size"] == EDGE
        assert received.recipe.source == "the network's own adapted, its input's shape"


UNLIKE: dict[str, tuple[Head, str]] = {
    "tanh": (lambda x: layers.Dense(3, activation="tanh")(x), "none of relu, softmax and sigmoid"),
    "gelu": (
        lambda x: layers.Dense(3)(layers.Activation("gelu")(layers.Dense(3)(x))),
        "none of relu, softmax and sigmoid. Received: 'gelu'",
    ),
    "behind softmax": (
        lambda x: layers.Dense(3)(layers.Dense(3, activation="softmax")(x)),
        "is behind a softmax, which only the last layer has",
    ),
    "convolution": (
        lambda x: layers.Conv2D(3, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x)),
        "no such layer: between the pooling and a Flatten",
    ),
    "no pooling": (lambda x: layers.Dense(3)(layers.Flatten()(x)), "no such layer: between the fi"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_other_classifiers_are_refused(name: str) -> None:
    head, said = UNLIKE[name]
    image = keras.Input((EDGE, EDGE, 3))
    x = layers.Conv2D(4, 3, name="conv1")(image)
    if name not in ("convolution", "no pooling"):
        x = layers.GlobalAveragePooling2D()(x)
    with pytest.raises(ConversionFailed, match=said):
        read_config(config_of(keras.Model(image, head(x))))


def test_two_outputs_are_refused() -> None:
    image = keras.Input((EDGE, EDGE, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    network = keras.Model(image, [layers.Dense(3)(x), layers.Dense(2)(x)])
    with pytest.raises(ConversionFailed, match="has 2 outputs, and a classifier has one"):
        read_config(config_of(network))
