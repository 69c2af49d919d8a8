"""The network's input pixels, compared with the transforms of the weights' publishers.

Their rule is restated here on Pillow; torchvision and timm are compared too where installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from model_builder.artifact.preprocessing import CAFFE, Interpolation
from model_builder.checkpoints.catalog import CHECKPOINTS
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.networks.fuse_batch_norm import rgb_normalization
from service.imaging.transforms import crop

Pixels = npt.NDArray[np.uint8]
Transform = Callable[[Image.Image], Image.Image]

# Smaller and larger than the edge, even and odd margins, and those whose half is rounded.
SIZES = [
    (256, 256),
    (235, 235),
    (224, 224),
    (500, 375),
    (375, 500),
    (640, 427),
    (333, 500),
    (501, 333),
    (1000, 257),
    (259, 1001),
    (100, 80),
    (31, 97),
    (257, 256),
    (1280, 960),
    (227, 480),
]
# One row for each preprocessing in the catalog.
RECIPES = list({row.preprocessing: row for row in reversed(CHECKPOINTS.values())}.values())
ROWS = pytest.mark.parametrize("row", RECIPES, ids=lambda row: row.name)


def make_image(size: tuple[int, int]) -> Image.Image:
    """Noise over a gradient: a crop that is one pixel off differs in every pixel."""
    width, height = size
    rng = np.random.default_rng(width * height)
    slope = np.add.outer(np.arange(height), np.arange(width))[..., None] // np.array((1, 2, 3))
    noise = rng.integers(0, 96, (height, width, 3))
    return Image.fromarray(((slope + noise) % 256).astype(np.uint8))


def restated(row: Checkpoint) -> Transform:
    """torchvision's Resize(edge) and CenterCrop(size), on Pillow images.

    The other edge is truncated, the crop's corner rounded half to even.
    """
    recipe = row.preprocessing
    kind = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

    def transform(image: Image.Image) -> Image.Image:
        width, height = image.size
        if width <= height:
            width, height = recipe.resize_edge, int(recipe.resize_edge * height / width)
        else:
            width, height = int(recipe.resize_edge * width / height), recipe.resize_edge
        image = image.resize((width, height), kind[recipe.interpolation])
        size = recipe.crop_size
        top, left = round((height - size) / 2.0), round((width - size) / 2.0)
        return image.crop((left, top, left + size, top + size))

    return transform


def of_torchvision(row: Checkpoint) -> Transform:
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is missing")
    recipe = row.preprocessing
    mode = transforms.InterpolationMode(recipe.interpolation)
    transform: Transform = transforms.Compose(
        [
            transforms.Resize(recipe.resize_edge, interpolation=mode, antialias=True),
            transforms.CenterCrop(recipe.crop_size),
        ]
    )
    return transform


@ROWS
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("reference", [restated, of_torchvision])
def test_pixels_are_those_of_the_reference(
    row: Checkpoint, size: tuple[int, int], reference: Callable[[Checkpoint], Transform]
) -> None:
    image = make_image(size)
    expected = np.asarray(reference(row)(image))
    received = np.asarray(crop(image, row.preprocessing))
    assert received.shape == (224, 224, 3)
    np.testing.assert_array_equal(received, expected)


@ROWS
def test_the_reference_depends_on_half_a_pixel_and_on_the_filter(row: Checkpoint) -> None:
    """An image with odd margins, cropped one pixel to the left or resized with another filter."""
    image = make_image((501, 333))
    recipe = row.preprocessing
    expected = np.asarray(restated(row)(image))
    moved = np.asarray(crop(image.crop((1, 0, 501, 333)), recipe))
    other: Interpolation = "bicubic" if recipe.interpolation == "bilinear" else "bilinear"
    filtered = np.asarray(crop(image, replace(recipe, interpolation=other)))
    larger = np.asarray(crop(image, replace(recipe, resize_edge=recipe.resize_edge + 1)))
    for wrong in (moved, filtered, larger):
        assert (wrong != expected).mean() > 0.1


def timm_config(row: Checkpoint) -> Any:
    """timm's own configuration for a row's weights."""
    timm = pytest.importorskip("timm", reason="timm is not installed")
    config = timm.get_pretrained_cfg(row.name)
    assert config is not None
    return config


TIMM_ROWS = [
    row for row in CHECKPOINTS.values() if ".keras" not in row.name and ".ms" not in row.name
]


@pytest.mark.parametrize("row", TIMM_ROWS, ids=lambda row: row.name)
def test_rows_match_timm(row: Checkpoint) -> None:
    config = timm_config(row)
    trained, tested = config.input_size[1], (config.test_input_size or config.input_size)[1]
    at_224 = config.crop_pct if trained == 224 else config.test_crop_pct
    assert 224 in (trained, tested)
    recipe = row.preprocessing
    assert recipe.resize_edge == int(224 / at_224)
    assert recipe.interpolation == config.interpolation
    assert np.array(recipe.mean) == pytest.approx(np.array(config.mean) * 255)
    assert np.array(recipe.std) == pytest.approx(np.array(config.std) * 255)
    assert row.licence.lower() == config.license
    assert config.hf_hub_id == f"timm/{row.name}"


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "resnet50.a1h_in1k", "resnet34.gluon_in1k"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_pixels_are_those_of_timm(name: str, size: tuple[int, int]) -> None:
    row = CHECKPOINTS[name]
    config = timm_config(row)
    data = pytest.importorskip("timm.data", reason="timm is not installed")
    trained = config.input_size[1] == 224
    transform = data.create_transform(
        224,
        crop_pct=config.crop_pct if trained else config.test_crop_pct,
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
    )
    expected = transform(make_image(size)).numpy()
    pixels = np.asarray(crop(make_image(size), row.preprocessing), np.float64)
    mean, std = rgb_normalization(row.preprocessing)
    received = ((pixels - mean) / std).transpose(2, 0, 1)
    # A wrong pixel is off by at least 1 / (255 * 0.229).
    np.testing.assert_allclose(received, expected, atol=1e-5)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_rows_match_torchvision(depth: int) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    weights = models.get_model_weights(f"resnet{depth}")
    for tag, entry in zip(("tv_in1k", "tv2_in1k"), weights, strict=False):
        row, preset = CHECKPOINTS[f"resnet{depth}.{tag}"], entry.transforms()
        recipe, metrics = row.preprocessing, entry.meta["_metrics"]["ImageNet-1K"]
        assert [recipe.crop_size] == preset.crop_size
        assert [recipe.resize_edge] == preset.resize_size
        assert recipe.interpolation == preset.interpolation.value
        assert np.array(recipe.mean) == pytest.approx(np.array(preset.mean) * 255)
        assert np.array(recipe.std) == pytest.approx(np.array(preset.std) * 255)
        assert (row.top1_percent, row.top5_percent) == (metrics["acc@1"], metrics["acc@5"])


def test_caffe_normalization_equals_that_of_keras() -> None:
    """Mean subtracted, unscaled, blue first: equal in float32 for every value of every channel."""
    import keras

    every = np.stack([np.arange(256)] * 3, axis=-1).astype(np.float32)[None]
    expected = keras.applications.resnet.preprocess_input(every.copy())
    mean, std = rgb_normalization(CAFFE)
    rescaling = keras.layers.Rescaling(list(1 / std), list(-mean / std), dtype="float32")
    received = np.asarray(rescaling(every))[..., ::-1]
    assert received.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(received, expected)
