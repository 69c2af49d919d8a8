"""Published tensors by our names, assigned to the network completely or refused."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
import pytest

from model_builder.checkpoints.formats.keras.names import our_layer
from model_builder.checkpoints.formats.state_dict import rename
from model_builder.checkpoints.loader import assign
from model_builder.errors import ConversionFailed
from model_builder.networks.config import ResNetConfig
from model_builder.networks.resnet import build_resnet
from tests.model_builder.random_networks import shapes_only, tensors_of

Array = npt.NDArray[np.float32]

ARCHITECTURE = ResNetConfig.of("resnet18", classes=10)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return shapes_only(ARCHITECTURE, input_size=32)


@pytest.fixture
def complete(network: keras.Model) -> dict[str, Array]:
    """A tensor for every variable of `network`."""
    return {
        "/".join(v.path.split("/")[-2:]): np.zeros(tuple(v.shape), np.float32)
        for v in network.weights
    }


def test_layers_without_a_place() -> None:
    published = {
        "activation/b": np.zeros(1, np.float32),
        "conv1_conv/kernel": np.zeros(1, np.float32),
        "added/a": np.zeros(1, np.float32),
    }
    with pytest.raises(ConversionFailed, match="No layer of the network takes activation/b, added"):
        rename(published, our_layer)


def test_every_tensor_is_assigned_once(complete: dict[str, Array]) -> None:
    network = build_resnet(ARCHITECTURE, input_size=32)
    assign(network, {name: values + 3 for name, values in complete.items()}, ARCHITECTURE)
    assert all((values == 3).all() for values in tensors_of(network).values())


def test_a_convolution_bias_goes_into_the_moving_mean(complete: dict[str, Array]) -> None:
    complete["bn1/moving_mean"] = np.full(64, 5, np.float32)
    complete["conv1/bias"] = np.arange(64, dtype=np.float32)
    network = build_resnet(ARCHITECTURE, input_size=32)
    assign(network, complete, ARCHITECTURE)
    moving_mean = tensors_of(network)["bn1/moving_mean"]
    np.testing.assert_array_equal(moving_mean, 5 - np.arange(64))
    np.testing.assert_array_equal(complete["bn1/moving_mean"], 5)  # the given tensors are unchanged


def drop(tensors: dict[str, Array]) -> None:
    del tensors["layer3_1_bn2/beta"], tensors["fc/kernel"]


def drop_with_bias(tensors: dict[str, Array]) -> None:
    tensors["bn1/bias"] = tensors["conv1/bias"] = tensors.pop("bn1/moving_mean")


def add(tensors: dict[str, Array]) -> None:
    tensors["layer9_0_conv1/kernel"] = np.zeros((1, 1, 1, 1), np.float32)


def reshape(tensors: dict[str, Array]) -> None:
    tensors["layer2_0_conv1/kernel"] = np.zeros((128, 64, 3, 3), np.float32)


def other_classes(tensors: dict[str, Array]) -> None:
    tensors["fc/bias"] = np.zeros(1000, np.float32)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop, "The checkpoint has no tensor for fc/kernel, layer3_1_bn2/beta"),
        (drop_with_bias, "The checkpoint has no tensor for bn1/moving_mean"),
        (add, "The network has no variable for layer9_0_conv1/kernel"),
        (
            reshape,
            "layer2_0_conv1/kernel has shape (3, 3, 64, 128) in the network. "
            "Received: (128, 64, 3, 3)",
        ),
        (other_classes, "fc/bias has shape (10,) in the network. Received: (1000,)"),
    ],
)
def test_incomplete_checkpoints(
    complete: dict[str, Array],
    network: keras.Model,
    damage: Callable[[dict[str, Array]], None],
    message: str,
) -> None:
    damage(complete)
    with pytest.raises(ConversionFailed) as raised:
        assign(network, complete, ARCHITECTURE)
    assert str(raised.value) == message
