"""Converted PyTorch checkpoint formats against the reference in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from model_builder.artifact.head import softmax
from model_builder.checkpoints.formats import torch
from model_builder.checkpoints.loader import assign, read_checkpoint
from model_builder.networks.config import ResNetConfig, name_of_depth
from model_builder.networks.resnet import build_resnet
from tests.model_builder.published import (
    PREPROCESSING,
    SIZE,
    TOLERANCE,
    served_logits,
)
from tests.model_builder.random_networks import relative_difference, same_padded
from tests.model_builder.reference import (
    DEPTHS,
    Reference,
    normalized,
    random_images,
    random_reference,
)
from tests.model_builder.torch_layout import save_safetensors, transformers_name

IMAGES = random_images(2, seed=1)


@dataclass(frozen=True)
class Expected:
    reference: Reference
    logits: npt.NDArray[np.float64]
    network: keras.Model  # ours, with its initial weights

    @property
    def architecture(self) -> ResNetConfig:
        return ResNetConfig.of(name_of_depth(self.reference.depth), classes=10)

    def received(self, network: keras.Model) -> Any:
        return network(normalized(IMAGES).transpose(0, 2, 3, 1), training=False)


@pytest.fixture(scope="module")
def expected(request: pytest.FixtureRequest) -> Expected:
    reference = random_reference(request.param, seed=request.param)
    logits = reference.logits(normalized(IMAGES))
    assert logits.std(axis=0).mean() > 0.05  # the images can be told apart
    network = build_resnet(
        ResNetConfig.of(name_of_depth(reference.depth), classes=10), input_size=SIZE
    )
    return Expected(reference, logits, network)


ALL_DEPTHS = pytest.mark.parametrize("expected", DEPTHS, indirect=True, ids="resnet{}".format)
DEEP_ENOUGH = pytest.mark.parametrize("expected", [50], indirect=True, ids="resnet{}".format)


def torch_file(folder: Path, reference: Reference) -> Path:
    return save_safetensors(folder / "model.safetensors", reference.state_dict)


def transformers_file(folder: Path, reference: Reference) -> Path:
    state_dict = {transformers_name(k): values for k, values in reference.state_dict.items()}
    return save_safetensors(folder / "model.safetensors", state_dict)


@ALL_DEPTHS
def test_logits_are_those_of_the_reference(expected: Expected, tmp_path: Path) -> None:
    path = torch_file(tmp_path, expected.reference)
    published = read_checkpoint(path)
    path.unlink()
    architecture = published.architecture(stride_in_1x1=False, batch_norm_epsilon=1e-5)
    assert architecture == expected.architecture
    assign(expected.network, published.tensors, architecture)
    assert relative_difference(expected.received(expected.network), expected.logits) < TOLERANCE
    served = served_logits(expected.network, architecture, IMAGES)
    assert relative_difference(served, expected.logits) < TOLERANCE


@ALL_DEPTHS
def test_transformers_format_gives_the_same_network(expected: Expected, tmp_path: Path) -> None:
    """Bit for bit the tensors of torchvision's format, so that the artifact is the same too."""
    path = transformers_file(tmp_path, expected.reference)
    published = read_checkpoint(path)
    path.unlink()
    of_torch = torch.to_state_dict(expected.reference.state_dict).tensors
    assert published.tensors.keys() == of_torch.keys()
    for name, values in published.tensors.items():
        np.testing.assert_array_equal(values, of_torch[name], err_msg=name)
    architecture = published.architecture(stride_in_1x1=False)
    assign(expected.network, published.tensors, architecture)
    assert relative_difference(expected.received(expected.network), expected.logits) < TOLERANCE


def with_same_padding(expected: Expected) -> Any:
    return expected.received(same_padded(expected.network))


def with_another(expected: Expected, **changes: Any) -> Any:
    architecture = replace(expected.architecture, **changes)
    wrong = build_resnet(architecture, input_size=SIZE)
    wrong.set_weights(expected.network.get_weights())
    return expected.received(wrong)


def with_keras_epsilon(expected: Expected) -> Any:
    return with_another(expected, batch_norm_epsilon=1e-3)


def with_stride_in_1x1(expected: Expected) -> Any:
    return with_another(expected, stride_in_1x1=True)


def with_channels_swapped(expected: Expected) -> Any:
    bgr = replace(PREPROCESSING, channel_order="BGR")
    return served_logits(expected.network, expected.architecture, IMAGES, bgr)


@DEEP_ENOUGH
@pytest.mark.parametrize(
    "mistaken", [with_same_padding, with_keras_epsilon, with_stride_in_1x1, with_channels_swapped]
)
def test_silent_errors_are_caught(
    expected: Expected, mistaken: Callable[[Expected], Any], tmp_path: Path
) -> None:
    """Each loads and runs without an error; only its results are wrong."""
    published = read_checkpoint(torch_file(tmp_path, expected.reference))
    assign(expected.network, published.tensors, expected.architecture)
    assert relative_difference(expected.received(expected.network), expected.logits) < TOLERANCE
    assert relative_difference(mistaken(expected), expected.logits) > 10 * TOLERANCE


@DEEP_ENOUGH
def test_a_second_softmax_is_caught(expected: Expected, tmp_path: Path) -> None:
    published = read_checkpoint(torch_file(tmp_path, expected.reference))
    assign(expected.network, published.tensors, expected.architecture)
    received = softmax(served_logits(expected.network, expected.architecture, IMAGES))
    exponentials = np.exp(expected.logits)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert relative_difference(received, probabilities) < TOLERANCE
    assert relative_difference(softmax(received), probabilities) > 10 * TOLERANCE


@DEEP_ENOUGH
def test_the_reference_depends_on_padding_epsilon_and_strides(expected: Expected) -> None:
    """The reference must not have the same errors."""
    for changes in ({"same_padding": True}, {"epsilon": 1e-3}, {"stride_in_1x1": True}):
        other = replace(expected.reference, **changes).logits(normalized(IMAGES))
        assert relative_difference(other, expected.logits) > 10 * TOLERANCE
