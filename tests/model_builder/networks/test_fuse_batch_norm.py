"""The inference network, compared with the network that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from model_builder.artifact.preprocessing import CAFFE, ChannelOrder, Preprocessing
from model_builder.networks.config import ResNetConfig
from model_builder.networks.fuse_batch_norm import (
    fuse_batch_norm,
    fused_convolution,
    rgb_normalization,
)
from tests.model_builder.random_networks import random_network, relative_difference
from tests.model_builder.reference import random_images

Make = Callable[[ResNetConfig], keras.Model]

SIZE = 64
BASIC = ResNetConfig.of("resnet18", classes=10)
BOTTLENECK = ResNetConfig.of("resnet50", classes=10)
V1 = ResNetConfig.of("resnet50", stride_in_1x1=True, batch_norm_epsilon=1.001e-5, classes=10)


def scaled(channel_order: ChannelOrder) -> Preprocessing:
    """Means and deviations that differ by channel, so that a wrong order changes the result."""
    return Preprocessing(
        resize_edge=SIZE,
        crop_size=SIZE,
        interpolation="bilinear",
        channel_order=channel_order,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 47.12, 67.375),
    )


def caffe() -> Preprocessing:
    return Preprocessing(SIZE, SIZE, "bilinear", "BGR", CAFFE.mean, CAFFE.std)


@pytest.fixture(scope="module")
def make() -> Make:
    """A random network, shared by the tests, which must not change it."""
    return cache(lambda architecture: random_network(architecture, input_size=SIZE))


def normalized(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> Any:
    """Normalization as the preprocessing states it, in NumPy."""
    values = pixels.astype(np.float32)
    if preprocessing.channel_order == "BGR":
        values = values[..., [2, 1, 0]]
    return (values - np.array(preprocessing.mean, np.float32)) / np.array(
        preprocessing.std, np.float32
    )


def logits(network: keras.Model, features: Any) -> npt.NDArray[np.float32]:
    """The classifier in float32 on a feature map of any dtype."""
    kernel, bias = network.get_layer("fc").get_weights()
    pooled = np.asarray(keras.ops.cast(features, "float32")).mean(axis=(1, 2))
    return np.asarray(pooled @ kernel + bias, np.float32)


@pytest.mark.parametrize(
    ("architecture", "preprocessing"),
    [
        pytest.param(BASIC, scaled("RGB"), id="basic-RGB"),
        pytest.param(BASIC, scaled("BGR"), id="basic-BGR"),
        pytest.param(BASIC, caffe(), id="basic-caffe"),
        pytest.param(BOTTLENECK, scaled("RGB"), id="v1.5-RGB"),
        pytest.param(V1, caffe(), id="v1-caffe"),
    ],
)
def test_the_fused_network_gives_the_same_logits(
    architecture: ResNetConfig, preprocessing: Preprocessing, make: Make
) -> None:
    network = make(architecture)
    pixels = random_images(4, size=SIZE, seed=1)
    expected = network(normalized(pixels, preprocessing), training=False)
    received = logits(network, fuse_batch_norm(network, architecture, preprocessing)(pixels))
    assert relative_difference(received, expected) < 1e-4


@pytest.mark.parametrize("shortcut", ["A", "C", "none"])
def test_every_kind_of_shortcut_is_fused(shortcut: Any) -> None:
    architecture = ResNetConfig.of("resnet18", shortcut, classes=10)
    network = random_network(architecture, input_size=SIZE)
    pixels = random_images(4, size=SIZE, seed=1)
    expected = network(normalized(pixels, scaled("RGB")), training=False)
    received = logits(network, fuse_batch_norm(network, architecture, scaled("RGB"))(pixels))
    assert relative_difference(received, expected) < 1e-4


@pytest.mark.parametrize("architecture", [BASIC, BOTTLENECK], ids=["basic", "bottleneck"])
def test_bfloat16(architecture: ResNetConfig, make: Make) -> None:
    network = make(architecture)
    pixels = random_images(4, size=SIZE, seed=1)
    expected = network(normalized(pixels, caffe()), training=False)
    inference = fuse_batch_norm(network, architecture, caffe(), dtype="bfloat16")
    features = inference(pixels)
    assert keras.backend.standardize_dtype(features.dtype) == "bfloat16"
    # 8 bits of mantissa, rounded once a layer.
    assert relative_difference(logits(network, features), expected) < 0.05


def test_the_mean_is_subtracted_in_float32(make: Make) -> None:
    inference = fuse_batch_norm(make(BASIC), BASIC, caffe(), dtype="bfloat16")
    pixels = random_images(1, size=SIZE, seed=1)
    layer = inference.get_layer("centering")
    expected = normalized(pixels, caffe())[..., ::-1]
    assert layer.compute_dtype == "float32"
    np.testing.assert_allclose(np.asarray(layer(pixels)), expected, atol=1e-4)


def test_pixels_go_in_as_uint8_and_features_come_out(make: Make) -> None:
    inference = fuse_batch_norm(make(BASIC), BASIC, scaled("RGB"))
    (pixels,) = inference.inputs
    assert (pixels.shape, pixels.dtype) == ((None, SIZE, SIZE, 3), "uint8")
    assert inference.output_shape == (None, SIZE // 32, SIZE // 32, 512)
    kinds = {type(layer) for layer in inference.layers[-1].layers}
    assert keras.layers.Conv2D in kinds
    assert keras.layers.BatchNormalization not in kinds


def test_fusion_leaves_the_network_unchanged(make: Make) -> None:
    network = make(BASIC)
    before = network.get_weights()
    fuse_batch_norm(network, BASIC, caffe())
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_fused_convolution() -> None:
    """BN(Wx) written out for one convolution, with a variance so small that epsilon counts."""
    network = random_network(BASIC, input_size=SIZE)
    gamma, beta, mean, _ = network.get_layer("bn1").get_weights()
    network.get_layer("bn1").set_weights([gamma, beta, mean, np.full(64, 1e-6, np.float32)])
    kernel, bias = fused_convolution(network, BASIC.stem_convolutions[0], 1e-5)
    scale = gamma / np.sqrt(1.1e-5)
    expected = network.get_layer("conv1").get_weights()[0] * scale
    assert kernel.dtype == bias.dtype == np.float32
    np.testing.assert_allclose(kernel, expected, rtol=1e-5)
    np.testing.assert_allclose(bias, beta - mean * scale, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("channel_order", "red_mean", "red_std"), [("RGB", 123.675, 58.395), ("BGR", 103.53, 67.375)]
)
def test_normalization_in_the_order_of_pixels(
    channel_order: ChannelOrder, red_mean: float, red_std: float
) -> None:
    mean, std = rgb_normalization(scaled(channel_order))
    assert (mean[0], std[0]) == (red_mean, red_std)


def test_caffe_equals_keras_applications() -> None:
    pixels = random_images(2, size=SIZE, seed=1)
    expected = keras.applications.resnet.preprocess_input(pixels.astype(np.float32))
    mean, std = rgb_normalization(CAFFE)
    received = (pixels - mean) / std
    np.testing.assert_allclose(received[..., ::-1], expected, atol=1e-4)
