"""Configs of networks in Keras's files: read as JSON, and refused where they differ from ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from model_builder.checkpoints.formats.keras.config import read_config
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from tests.model_builder.keras_files import Config, layer, rewritten, saved, small_network

# Keras's HDF5 writer raises this with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def lambda_layer(config: Config) -> None:
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}
    layer(config, "relu").update(
        class_name="Lambda", module="keras.layers", config={"name": "relu", "function": code}
    )


def custom_layer(config: Config) -> None:
    layer(config, "relu").update(module="my_package.layers", registered_name="my>ReLU")


def registered_layer(config: Config) -> None:
    layer(config, "relu")["registered_name"] = "my>ReLU"


def disguised_layer(config: Config) -> None:
    layer(config, "relu")["module"] = "os"


def squeeze_and_excitation(config: Config) -> None:
    layer(config, "relu")["class_name"] = "Multiply"


def custom_model(config: Config) -> None:
    config.update(class_name="MyResNet", module="my_package", registered_name="my>MyResNet")


@pytest.mark.parametrize(
    ("edit", "received"),
    [
        (lambda_layer, "Lambda of keras.layers"),
        (custom_layer, "my>ReLU of my_package.layers"),
        (registered_layer, "my>ReLU of keras.layers"),
        (disguised_layer, "ReLU of os"),
        (squeeze_and_excitation, "Multiply of keras.layers"),
        (custom_model, "my>MyResNet of my_package"),
    ],
)
def test_what_may_carry_code_is_refused(
    edit: Callable[[Config], None], received: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionFailed) as raised:
        read_checkpoint(rewritten(saved(small_network(), tmp_path / "network.keras"), edit))
    assert "is a layer that ResNets don't have, or carries code, which is never run" in str(
        raised.value
    )
    assert str(raised.value).endswith(f"Received: {received}")


def test_the_classes_of_keras_2_beside_keras_3(tmp_path: Path) -> None:
    """tf_keras names the module of its networks, and its layers' as Keras does."""

    def written_by_tf_keras(config: Config) -> None:
        config["module"] = "tf_keras.src.engine.functional"

    path = saved(small_network(), tmp_path / "network.keras")
    assert read_checkpoint(rewritten(path, written_by_tf_keras)).classes == 3


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("layer2_0_conv1", {"padding": "same"}, "pads at the bottom and right only"),
        ("layer2_0_conv1", {"strides": [1, 1]}, "No resnet18 has these strides"),
        ("layer2_0_conv1", {"strides": [2, 1]}, "is not square"),
        ("layer2_1_conv1", {"dilation_rate": [2, 2]}, "is dilated or grouped"),
        ("layer2_1_conv1", {"activation": "relu"}, "has an activation. Received: 'relu'"),
        ("layer2_1_conv1", {"data_format": "channels_first"}, "is not channels_last"),
        ("maxpool", {"padding": "same"}, "is not padded on every side"),
        ("conv1_pad", {"padding": [[2, 3], [2, 3]]}, "does not pad every side alike"),
        ("bn1", {"axis": 1}, "is not over channels"),
        ("bn1", {"scale": False}, "has no shift or no scale"),
        ("bn1", {"epsilon": 1e-3}, r"have several epsilons. Received: \[1e-05, 0.001\]"),
        ("relu", {"max_value": 6.0}, "is capped or leaky"),
        ("fc", {"activation": "tanh"}, "is none of relu, softmax and sigmoid. Received: 'tanh'"),
        ("bn1", {"epsilon": "small"}, "network's config can't be read"),
    ],
)
def test_networks_that_only_look_like_resnets(
    name: str, changes: Config, message: str, tmp_path: Path
) -> None:
    """Their tensors have our shapes; their results would differ."""
    path = saved(small_network(), tmp_path / "network.keras")
    rewritten(path, lambda config: layer(config, name)["config"].update(changes))
    with pytest.raises(ConversionFailed, match=message):
        read_checkpoint(path)


def test_a_config_that_is_not_a_network() -> None:
    for config in ({}, {"class_name": "Functional"}, {"class_name": "Sequential", "config": []}):
        with pytest.raises(ConversionFailed, match="network's config can't be read"):
            read_config(config)
