"""The configuration that is inferred from tensors, and what the caller must state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model_builder.checkpoints.formats import torch
from model_builder.checkpoints.formats.state_dict import StateDict, Tensors
from model_builder.checkpoints.infer_config import infer, variables
from model_builder.checkpoints.published import PublishedTensors
from model_builder.errors import ConversionFailed
from model_builder.networks.config import DEPTHS, ResNetConfig, Shortcut, name_of_depth
from model_builder.networks.head import Activation
from tests.model_builder.reference import random_state_dict


def contents(architecture: ResNetConfig, **known: Any) -> StateDict:
    """Zeros of the right shapes that take no memory."""
    tensors = {
        name: np.broadcast_to(np.float32(0), shape)
        for name, shape in variables(architecture).items()
    }
    return StateDict(tensors, {name: f"published {name}" for name in tensors}, **known)


def strides(architecture: ResNetConfig) -> dict[str, int]:
    return {spec.name: spec.stride for spec in architecture.convolutions()}


@pytest.mark.parametrize("depth", DEPTHS)
def test_variables_are_those_of_torchvision(depth: int) -> None:
    state_dict = random_state_dict(depth, np.random.default_rng(0), 1000)
    expected = sum(values.size for values in state_dict.values())
    assert (
        sum(np.prod(x) for x in variables(ResNetConfig.of(name_of_depth(depth))).values())
        == expected
    )
    assert len(variables(ResNetConfig.of(name_of_depth(depth)))) == len(state_dict)


@pytest.mark.parametrize("classes", [1, 2, 1000])
@pytest.mark.parametrize("shortcut", ["B", "C"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_depth_classes_and_shortcut_are_in_the_tensors(
    depth: int, shortcut: Shortcut, classes: int
) -> None:
    plain = ResNetConfig.of(name_of_depth(depth), shortcut, classes=classes)
    architecture = replace(plain, activation="sigmoid" if classes == 1 else "softmax")
    published = infer("torch", contents(architecture))
    assert (published.depth, published.shortcut, published.classes) == (depth, shortcut, classes)
    activation: Activation | None = "sigmoid" if classes == 1 else None
    assert architecture == published.architecture(
        stride_in_1x1=False, batch_norm_epsilon=1e-5, activation=activation
    )


def test_one_logit_needs_a_sigmoid() -> None:
    """A softmax of one logit is always 1."""
    published = infer("torch", contents(ResNetConfig.of("resnet18", classes=1)))
    for activation in (None, "softmax"):
        with pytest.raises(ConversionFailed, match=r"one logit, .* --activation sigmoid makes it"):
            published.architecture(batch_norm_epsilon=1e-5, activation=activation)


def test_a_file_that_states_a_sigmoid_needs_no_option() -> None:
    published = infer("torch", contents(ResNetConfig.of("resnet18"), activation="sigmoid"))
    assert published.architecture(batch_norm_epsilon=1e-5).activation == "sigmoid"
    with pytest.raises(ConversionFailed, match=r"activation='sigmoid'\. Received: 'softmax'"):
        published.architecture(batch_norm_epsilon=1e-5, activation="softmax")


@pytest.mark.parametrize("shortcut", ["A", "none"])
def test_shortcuts_without_weights_must_be_stated(shortcut: Shortcut) -> None:
    published = infer("torch", contents(ResNetConfig.of("resnet18", shortcut)))
    assert published.shortcut is None
    with pytest.raises(ConversionFailed, match="does not show shortcut, and it has to be stated"):
        published.architecture(batch_norm_epsilon=1e-5)
    stated = published.architecture(shortcut=shortcut, batch_norm_epsilon=1e-5)
    assert stated == ResNetConfig.of("resnet18", shortcut)
    published.check(stated)
    with pytest.raises(ConversionFailed, match="shortcuts without weights"):
        published.check(ResNetConfig.of("resnet18", "B"))


@pytest.mark.parametrize("depth", DEPTHS)
def test_strides_of_bottlenecks_must_be_stated(depth: int) -> None:
    published = infer(
        "torch", contents(ResNetConfig.of(name_of_depth(depth)), batch_norm_epsilon=1e-5)
    )
    if depth < 50:
        assert published.stride_in_1x1 is False
        assert published.architecture() == ResNetConfig.of(name_of_depth(depth))
    else:
        assert published.stride_in_1x1 is None
        with pytest.raises(ConversionFailed, match=r"stride_in_1x1, .*--variant v1 .*Keras"):
            published.architecture()
        for stated in (False, True):
            architecture = published.architecture(stride_in_1x1=stated)
            assert architecture == ResNetConfig.of(name_of_depth(depth), stride_in_1x1=stated)


def test_epsilon_must_be_stated() -> None:
    published = infer("torch", contents(ResNetConfig.of("resnet18")))
    with pytest.raises(ConversionFailed, match="does not show batch_norm_epsilon"):
        published.architecture()


@pytest.mark.parametrize("stride_in_1x1", [False, True])
def test_strides_in_the_file_are_used(stride_in_1x1: bool) -> None:
    architecture = ResNetConfig.of("resnet50", stride_in_1x1=stride_in_1x1)
    found = contents(architecture, strides=strides(architecture), batch_norm_epsilon=1e-5)
    assert infer("keras_v3", found).architecture() == architecture


def test_strides_of_no_resnet() -> None:
    found = strides(ResNetConfig.of("resnet50")) | {"layer2_0_downsample_0": 1}
    with pytest.raises(ConversionFailed, match="No resnet50 has these strides"):
        infer("keras_v3", contents(ResNetConfig.of("resnet50"), strides=found))


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (
            {"stride_in_1x1": False},
            "The file's network has stride_in_1x1=True. Received: False",
        ),
        (
            {"batch_norm_epsilon": 1e-3},
            "The file's network has batch_norm_epsilon=1e-05. Received: 0.001",
        ),
        ({"shortcut": "C"}, "The file's network has shortcut='B'. Received: 'C'"),
    ],
)
def test_the_caller_contradicts_the_file(stated: dict[str, Any], message: str) -> None:
    published = infer(
        "keras_h5",
        contents(ResNetConfig.of("resnet50"), stride_in_1x1=True, batch_norm_epsilon=1e-5),
    )
    with pytest.raises(ConversionFailed) as raised:
        published.architecture(**stated)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            ResNetConfig.of("resnet34"),
            "resnet50 with 1000 classes and shortcuts B. Expected: resnet34, 1000",
        ),
        (ResNetConfig.of("resnet50", classes=10), "Expected: resnet50, 10, B"),
        (ResNetConfig.of("resnet50", "C"), "Expected: resnet50, 1000, C"),
        (ResNetConfig.of("resnet50"), "The file's network has stride_in_1x1=True. Expected: False"),
    ],
)
def test_a_row_that_states_another_network(row: ResNetConfig, message: str) -> None:
    published = infer("tfjs", contents(ResNetConfig.of("resnet50"), stride_in_1x1=True))
    with pytest.raises(ConversionFailed, match=message):
        published.check(row)


def test_a_row_states_the_epsilon() -> None:
    published: PublishedTensors = infer(
        "tfjs", contents(ResNetConfig.of("resnet50"), stride_in_1x1=True, batch_norm_epsilon=1e-3)
    )
    published.check(ResNetConfig.of("resnet50", stride_in_1x1=True, batch_norm_epsilon=1e-5))


def without_beta(tensors: Tensors) -> None:
    del tensors["layer3_1_bn2/beta"]


def without_classifier(tensors: Tensors) -> None:
    del tensors["fc/kernel"], tensors["fc/bias"]


def with_another_layer(tensors: Tensors) -> None:
    tensors["layer1_0_conv3/bias"] = np.zeros(64, np.float32)


def with_a_wide_layer(tensors: Tensors) -> None:
    tensors["layer2_0_conv1/kernel"] = np.zeros((3, 3, 64, 256), np.float32)


def with_a_long_bias(tensors: Tensors) -> None:
    tensors["conv1/bias"] = np.zeros(65, np.float32)


def with_a_block_less(tensors: Tensors) -> None:
    for name in [name for name in tensors if name.startswith("layer3_1_")]:
        del tensors[name]


def with_one_projection_more(tensors: Tensors) -> None:
    tensors["layer1_1_downsample_0/kernel"] = np.zeros((1, 1, 64, 64), np.float32)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_beta, "The checkpoint has no tensor for layer3_1_bn2/beta"),
        (without_classifier, "no classifier: no tensor for fc/kernel and fc/bias"),
        (with_another_layer, "No variable of a resnet18 takes layer1.0.conv3.bias"),
        (
            with_a_wide_layer,
            r"published layer2_0_conv1/kernel is layer2_0_conv1/kernel, and has shape "
            r"\(3, 3, 64, 128\) in a resnet18. Received: \(3, 3, 64, 256\)",
        ),
        (with_a_long_bias, r"has shape \(64,\) in a resnet18. Received: \(65,\)"),
        (with_a_block_less, "has these blocks. Received: basic, 2, 2, 1, 2 in the four stages"),
        (with_one_projection_more, r"\(option B\) or everywhere \(C\). Received: layer1_1_down"),
    ],
)
def test_incomplete_files(damage: Callable[[Tensors], None], message: str) -> None:
    found = contents(ResNetConfig.of("resnet18"))
    damage(found.tensors)
    found.keys["layer1_0_conv3/bias"] = "layer1.0.conv3.bias"
    found.keys["conv1/bias"] = "conv1.bias"
    with pytest.raises(ConversionFailed, match=message):
        infer("torch", found)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused_by_their_names_in_the_file(value: float) -> None:
    """One is enough: a ReLU makes 0 of it, and the network answers like a sound one."""
    tensors = random_state_dict(18, np.random.default_rng(0), 3)
    tensors["layer1.0.conv1.weight"] = tensors["layer1.0.conv1.weight"].copy()
    tensors["layer1.0.conv1.weight"][0, 0, 0, 0] = value
    tensors["fc.bias"] = np.full_like(tensors["fc.bias"], value)
    with pytest.raises(ConversionFailed) as refusal:
        infer("torch", torch.to_state_dict(tensors))
    assert str(refusal.value) == (
        "Weights are infinite or not a number in layer1.0.conv1.weight (1 of 36864), "
        "fc.bias (3 of 3)"
    )
