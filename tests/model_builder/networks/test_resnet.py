"""Built networks: shapes, names, shortcuts, strides, dtypes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from model_builder.networks.config import DEPTHS, ResNetConfig, Shortcut, name_of_depth
from model_builder.networks.resnet import build_resnet
from tests.model_builder.random_networks import random_network, relative_difference, shapes_only
from tests.model_builder.reference import random_images


def stage_outputs(network: keras.Model, depth: int) -> list[tuple[int | None, ...]]:
    """Shapes after the stem's convolution, its pooling and each stage, without the batch."""
    layers = ResNetConfig.of(name_of_depth(depth)).layers
    last = [f"layer{stage}_{count - 1}_relu" for stage, count in enumerate(layers, 1)]
    return [network.get_layer(name).output.shape[1:] for name in ["relu", "maxpool", *last]]


def tapped(network: keras.Model, inputs: Any, *tensors: keras.KerasTensor) -> list[Any]:
    """The values of tensors within the network."""
    return [np.asarray(x) for x in keras.Model(network.input, list(tensors))(inputs)]


def widths(depth: int) -> tuple[int, ...]:
    expansion = ResNetConfig.of(name_of_depth(depth)).feature_width // 512
    return 64, 64, *(width * expansion for width in (64, 128, 256, 512))


@pytest.mark.parametrize("depth", DEPTHS)
def test_shapes(depth: int) -> None:
    network = shapes_only(ResNetConfig.of(name_of_depth(depth)))
    edges = (112, 56, 56, 28, 14, 7)
    assert network.input_shape == (None, 224, 224, 3)
    assert stage_outputs(network, depth) == [
        (edge, edge, width) for edge, width in zip(edges, widths(depth), strict=True)
    ]
    assert network.output_shape == (None, 1000)


@pytest.mark.parametrize("depth", [34, 50])
@pytest.mark.parametrize(
    ("input_size", "edges"),
    [
        (225, (113, 57, 57, 29, 15, 8)),
        (32, (16, 8, 8, 4, 2, 1)),
        (None, (None, None, None, None, None, None)),
    ],
)
def test_shapes_of_other_images(
    depth: int, input_size: int | None, edges: tuple[int | None, ...]
) -> None:
    network = shapes_only(ResNetConfig.of(name_of_depth(depth), classes=7), input_size=input_size)
    assert stage_outputs(network, depth) == [
        (edge, edge, width) for edge, width in zip(edges, widths(depth), strict=True)
    ]
    assert network.output_shape == (None, 7)


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize("depth", [18, 50])
def test_every_kind_of_shortcut_takes_an_odd_image(depth: int, shortcut: Shortcut) -> None:
    architecture = ResNetConfig.of(name_of_depth(depth), shortcut)
    network = shapes_only(architecture, input_size=225, head=False)
    assert network.output_shape == (None, 8, 8, architecture.feature_width)


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (65, 97)])
def test_any_image_size_runs(size: tuple[int, int]) -> None:
    network = build_resnet(ResNetConfig.of("resnet18"), input_size=None, head=False)
    height, width = size
    features = network(np.zeros((2, height, width, 3), np.float32))
    assert features.shape == (2, -(-height // 32), -(-width // 32), 512)


# Entries of torchvision's state dicts, each batch norm's `num_batches_tracked` left out.
@pytest.mark.parametrize(
    ("depth", "entries"),
    [(18, 122 - 20), (34, 218 - 36), (50, 320 - 53), (101, 626 - 104), (152, 932 - 155)],
)
def test_as_many_tensors_as_torchvision(depth: int, entries: int) -> None:
    assert len(shapes_only(ResNetConfig.of(name_of_depth(depth))).weights) == entries


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize("depth", [34, 50])
def test_layers_with_weights_are_those_of_the_architecture(depth: int, shortcut: Shortcut) -> None:
    architecture = ResNetConfig.of(name_of_depth(depth), shortcut)
    convolutions = list(architecture.convolutions())
    names = {c.name for c in convolutions} | {c.batch_norm for c in convolutions} | {"fc"}
    network = shapes_only(architecture)
    assert {layer.name for layer in network.layers if layer.weights} == names
    fused = shapes_only(architecture, fused=True, head=False)
    assert {x.name for x in fused.layers if x.weights} == {c.name for c in convolutions}


OPTION_A = ResNetConfig.of("resnet50", "A", classes=2)


@pytest.fixture(scope="module")
def option_a() -> keras.Model:
    return random_network(OPTION_A, input_size=65)


@pytest.mark.parametrize(
    ("block", "before"),
    [
        ("layer1_0", "maxpool"),  # 64 to 256 channels, not halved
        ("layer2_0", "layer1_2_relu"),  # 256 to 512, halved
        ("layer2_1", "layer2_0_relu"),  # the identity
    ],
)
def test_option_a_subsamples_and_pads_with_zeros(
    option_a: keras.Model, block: str, before: str
) -> None:
    spec = next(b for b in OPTION_A.blocks() if b.name == block)
    pixels = random_images(1, size=65, seed=1).astype(np.float32)
    _, shortcut = option_a.get_layer(f"{block}_add").input
    x, shortcut = tapped(option_a, pixels, option_a.get_layer(before).output, shortcut)
    assert shortcut.shape[-1] == spec.filters
    np.testing.assert_array_equal(
        shortcut[..., : spec.in_channels], x[:, :: spec.stride, :: spec.stride]
    )
    np.testing.assert_array_equal(shortcut[..., spec.in_channels :], 0)
    assert np.abs(x).max() > 0


@pytest.mark.parametrize(
    ("shortcut", "block", "before", "projects"),
    [
        ("B", "layer2_0", "layer1_1_relu", True),
        ("B", "layer2_1", "layer2_0_relu", False),
        ("C", "layer1_0", "maxpool", True),
        ("C", "layer2_1", "layer2_0_relu", True),
    ],
)
def test_options_b_and_c_project(
    shortcut: Shortcut, block: str, before: str, projects: bool
) -> None:
    architecture = ResNetConfig.of("resnet18", shortcut, classes=2)
    network = random_network(architecture, input_size=64)
    spec = next(b for b in architecture.blocks() if b.name == block)
    pixels = random_images(1, size=64, seed=1).astype(np.float32)
    _, branch = network.get_layer(f"{block}_add").input
    x, received = tapped(network, pixels, network.get_layer(before).output, branch)
    expected = x
    if projects:
        (kernel,) = network.get_layer(f"{block}_downsample_0").get_weights()
        gamma, beta, mean, variance = network.get_layer(f"{block}_downsample_1").get_weights()
        projected = x[:, :: spec.stride, :: spec.stride] @ kernel[0, 0]
        expected = (projected - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    assert relative_difference(received, expected) < 1e-5


@pytest.mark.parametrize(("shortcut", "adds"), [("A", 8), ("B", 8), ("C", 8), ("none", 0)])
def test_additions(shortcut: Shortcut, adds: int) -> None:
    network = shapes_only(ResNetConfig.of("resnet18", shortcut))
    assert sum(isinstance(layer, keras.layers.Add) for layer in network.layers) == adds


def test_a_block_adds_its_shortcut_before_the_last_relu() -> None:
    network = random_network(ResNetConfig.of("resnet18", classes=2), input_size=64)
    pixels = random_images(1, size=64, seed=1).astype(np.float32)
    residual, shortcut = network.get_layer("layer3_0_add").input
    output = network.get_layer("layer3_0_relu").output
    a, b, received = tapped(network, pixels, residual, shortcut, output)
    np.testing.assert_allclose(received, np.maximum(a + b, 0), rtol=1e-6)
    assert a.min() < 0
    assert b.min() < 0


@pytest.mark.parametrize(
    ("stride_in_1x1", "strides", "edges"),
    [(True, ((2, 2), (1, 1)), (28, 28)), (False, ((1, 1), (2, 2)), (56, 28))],
)
def test_stride_placement(
    stride_in_1x1: bool, strides: tuple[tuple[int, int], ...], edges: tuple[int, ...]
) -> None:
    network = shapes_only(ResNetConfig.of("resnet50", stride_in_1x1=stride_in_1x1))
    convolutions = [network.get_layer(f"layer2_0_conv{index}") for index in (1, 2)]
    assert tuple(layer.strides for layer in convolutions) == strides
    assert tuple(layer.output.shape[1] for layer in convolutions) == edges


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_new_block_is_the_identity(shortcut: Shortcut) -> None:
    network = build_resnet(ResNetConfig.of("resnet18", shortcut), input_size=64)
    pixels = random_images(1, size=64, seed=1).astype(np.float32)
    before, after = tapped(
        network,
        pixels,
        network.get_layer("layer2_0_relu").output,
        network.get_layer("layer2_1_relu").output,
    )
    assert before.max() > 0
    np.testing.assert_array_equal(before, after)


def test_a_new_plain_network_does_not_output_zeros() -> None:
    network = build_resnet(ResNetConfig.of("resnet18", "none"), input_size=64)
    assert np.asarray(network(random_images(1, size=64, seed=1).astype(np.float32))).std() > 0


@pytest.mark.parametrize(("shortcut", "dtype"), [("A", "bfloat16"), ("B", "mixed_bfloat16")])
def test_bfloat16(shortcut: Shortcut, dtype: str) -> None:
    reference = random_network(ResNetConfig.of("resnet18", shortcut, classes=5), input_size=64)
    network = build_resnet(
        ResNetConfig.of("resnet18", shortcut, classes=5), input_size=64, dtype=dtype
    )
    network.set_weights(reference.get_weights())
    pixels = (random_images(4, size=64, seed=1).astype(np.float32) - 128) / 64
    logits = network(pixels)
    assert {layer.compute_dtype for layer in network.layers[1:]} == {"bfloat16"}
    assert {str(w.dtype) for w in network.weights} == {
        "bfloat16" if dtype == "bfloat16" else "float32"
    }
    assert keras.backend.standardize_dtype(logits.dtype) == "bfloat16"
    # 8 bits of mantissa through 17 convolutions.
    assert relative_difference(keras.ops.cast(logits, "float32"), reference(pixels)) < 0.15
