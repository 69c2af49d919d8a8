"""Keras's files, read as data: names, numbering, and the library that wrote the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from model_builder.checkpoints.formats.keras.names import by_field, our_layer, to_state_dict
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from model_builder.networks.config import ResNetConfig
from model_builder.networks.resnet import build_resnet
from tests.model_builder.keras_files import (
    ARCHITECTURE,
    rewritten,
    saved,
    small_network,
    without_names,
)

Array = npt.NDArray[np.float32]

# Keras's HDF5 writer raises this with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("conv1_conv", "conv1"),
        ("conv1_bn", "bn1"),
        ("conv2_block1_1_conv", "layer1_0_conv1"),
        ("conv2_block1_0_conv", "layer1_0_downsample_0"),
        ("conv2_block1_0_bn", "layer1_0_downsample_1"),
        ("conv4_block23_2_bn", "layer3_22_bn2"),
        ("conv5_block3_3_conv", "layer4_2_conv3"),
        ("conv6_block1_1_conv", None),
        ("conv2_block1_4_conv", None),
        ("conv2_block1_out", None),
        ("conv2_block1_preact_bn", None),  # ResNet50V2
        ("conv1", "conv1"),
        ("bn_conv1", "bn1"),
        ("res2a_branch2a", "layer1_0_conv1"),
        ("res2a_branch1", "layer1_0_downsample_0"),
        ("bn2a_branch1", "layer1_0_downsample_1"),
        ("bn4f_branch2b", "layer3_5_bn2"),
        ("bn4b22_branch2c", "layer3_22_bn3"),
        ("res5c_branch2c", "layer4_2_conv3"),
        ("res6a_branch2a", None),
        ("activation_1", None),
        ("res2a_branch2d", None),
        ("res2a_branch1a", None),
        ("scale2a_branch1", None),
        ("layer4_2_downsample_1", "layer4_2_downsample_1"),
        ("layer4_2_relu", None),
        ("layer5_0_conv1", None),
    ],
)
def test_names(published: str, ours: str | None) -> None:
    assert our_layer(published) == ours


def zeros(*shapes: tuple[int, ...]) -> list[Array]:
    return [np.zeros(shape, np.float32) for shape in shapes]


def test_the_order_of_tensors_gives_their_fields() -> None:
    assert list(by_field("a", zeros((1, 1, 2, 3), (3,)))) == ["a/kernel", "a/bias"]
    assert list(by_field("a", zeros((2, 3)))) == ["a/kernel"]
    batch_norm = ["a/gamma", "a/beta", "a/moving_mean", "a/moving_variance"]
    assert list(by_field("a", zeros((3,), (3,), (3,), (3,)))) == batch_norm


@pytest.mark.parametrize(
    "shapes",
    [
        ((3,), (3,), (3,)),  # a batch norm without scale or without shift: ambiguous
        ((3,),),
        ((1, 1, 2, 3), (3,), (3,)),
        ((),),
    ],
)
def test_layers_that_resnets_do_not_have(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ConversionFailed, match=r"^odd is not a convolution, batch norm or dense"):
        by_field("odd", zeros(*shapes))


def test_the_classifier_may_have_any_name() -> None:
    published = by_field("my_head", zeros((512, 3), (3,)))
    assert to_state_dict(published, None).tensors.keys() == {"fc/kernel", "fc/bias"}
    published |= by_field("another", zeros((3, 3), (3,)))
    with pytest.raises(ConversionFailed, match="takes another/bias, another/kernel, my_head/bias"):
        to_state_dict(published, None)


def test_two_layers_with_one_name_of_ours() -> None:
    published = by_field("conv1_conv", zeros((7, 7, 3, 64))) | by_field(
        "conv1", zeros((7, 7, 3, 64))
    )
    with pytest.raises(ConversionFailed, match="conv1_conv/kernel and conv1/kernel are both conv1"):
        to_state_dict(published, None)


@pytest.mark.parametrize(
    ("stem", "stride_in_1x1", "epsilon"),
    [("conv1_bn", True, 1.001e-5), ("bn_conv1", True, None), ("bn1", None, None)],
)
def test_layer_names_imply_the_variant(
    stem: str, stride_in_1x1: bool | None, epsilon: float | None
) -> None:
    published = by_field("conv1_conv", zeros((7, 7, 3, 64))) if stem == "conv1_bn" else {}
    found = to_state_dict(published | by_field(stem, zeros(*[(64,)] * 4)), None)
    assert (found.stride_in_1x1, found.batch_norm_epsilon) == (stride_in_1x1, epsilon)


def test_layers_without_names_are_found_by_their_number(tmp_path: Path) -> None:
    path = saved(small_network(), tmp_path / "network.keras")
    expected = read_checkpoint(path)
    received = read_checkpoint(rewritten(path))
    assert received.architecture() == ARCHITECTURE == expected.architecture()
    assert received.tensors.keys() == expected.tensors.keys()
    for name, values in expected.tensors.items():
        np.testing.assert_array_equal(received.tensors[name], values, err_msg=name)


def test_weights_alone_need_names(tmp_path: Path) -> None:
    path = saved(small_network(), tmp_path / "network.weights.h5")
    without_names(path)
    with pytest.raises(ConversionFailed, match=r"layers/\w+ has no name: save the network again"):
        read_checkpoint(path)


@pytest.fixture(scope="module")
def tuned() -> keras.Model:
    """A fine-tuned network: nested, with a new head and an optimizer."""
    body = build_resnet(ARCHITECTURE, input_size=32, head=False)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Dropout(0.1)(keras.layers.GlobalAveragePooling2D()(body(inputs)))
    outputs = keras.layers.Dense(7, activation="softmax", name="cats_and_dogs")(x)
    network = keras.Model(inputs, outputs)
    network.compile("adam", "sparse_categorical_crossentropy")
    network.optimizer.build(network.trainable_variables)
    return network


@pytest.mark.parametrize("name", ["tuned.keras", "tuned.weights.h5", "tuned.h5"])
def test_a_fine_tuned_network(tuned: keras.Model, name: str, tmp_path: Path) -> None:
    received = read_checkpoint(saved(tuned, tmp_path / name))
    assert (received.depth, received.classes, received.shortcut) == (18, 7, "B")
    assert len(received.tensors) == len(tuned.weights)
    for variable in tuned.weights:
        name = "/".join(variable.path.split("/")[-2:]).replace("cats_and_dogs", "fc")
        np.testing.assert_array_equal(received.tensors[name], variable, err_msg=name)


@pytest.mark.parametrize("shortcut", ["A", "C", "none"])
def test_other_shortcuts_of_our_own(shortcut: Any, tmp_path: Path) -> None:
    architecture = ResNetConfig.of("resnet18", shortcut, batch_norm_epsilon=1e-3, classes=3)
    build_resnet(architecture, input_size=32).save(tmp_path / "network.keras")
    received = read_checkpoint(tmp_path / "network.keras")
    assert received.architecture(shortcut=shortcut) == architecture
