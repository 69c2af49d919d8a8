"""Recipes that people trained with: squash, letterbox, other filters, no antialiasing, grey."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model_builder.artifact.preprocessing import (
    RESAMPLING,
    Interpolation,
    Preprocessing,
    ResizeMode,
)
from service.imaging.decoder import decode
from service.imaging.resampling.geometry import ASPECT_LIMIT
from service.imaging.transforms import crop
from tests.service.images import (
    SIDES,
    as_stored,
    encoded,
    noise,
    orientation_tag,
    quadrants,
    recipe,
    reference,
)

MAX_PIXELS = 10_000_000
SIZES = [(64, 48), (48, 64), (33, 57), (32, 32), (20, 11), (301, 200)]
BY_SIZE = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


def moded(
    mode: ResizeMode, edge: int = 32, size: int = 32, interpolation: Interpolation = "bilinear"
) -> Preprocessing:
    return replace(recipe(edge, size, interpolation), resize_mode=mode, fill=(9, 8, 7))


def decoded(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    return decode(encoded(image), preprocessing, max_pixels=MAX_PIXELS)


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([(256, 224), (64, 56), (40, 7), (32, 32)]),
    st.sampled_from([name for name in RESAMPLING if name not in ("bilinear", "bicubic")]),
    st.sampled_from(["RGB", "L"]),
)
@settings(deadline=None, max_examples=80)
def test_every_filter_crops_the_whole_image_resized(
    width: int, height: int, sizes: tuple[int, int], interpolation: Interpolation, mode: str
) -> None:
    height, width = min(height, ASPECT_LIMIT * width), min(width, ASPECT_LIMIT * height)
    image, preprocessing = noise(width, height).convert(mode), recipe(*sizes, interpolation)
    np.testing.assert_array_equal(
        np.asarray(crop(image, preprocessing)), np.asarray(reference(image, preprocessing))
    )


@BY_SIZE
@pytest.mark.parametrize("interpolation", RESAMPLING)
def test_squash_resizes_both_edges(size: tuple[int, int], interpolation: Interpolation) -> None:
    """As torchvision's Resize((40, 40)) and CenterCrop(32) on Pillow images."""
    image = noise(*size)
    expected = image.resize((40, 40), RESAMPLING[interpolation]).crop((4, 4, 36, 36))
    received = decoded(image, moded("squash", 40, 32, interpolation))
    np.testing.assert_array_equal(received, np.asarray(expected))
    whole = decoded(image, moded("squash", interpolation=interpolation))
    np.testing.assert_array_equal(whole, image.resize((32, 32), RESAMPLING[interpolation]))


@BY_SIZE
def test_letterbox_fits_and_pads(size: tuple[int, int]) -> None:
    """As timm's ResizeKeepRatio(longest=1) and CenterCropOrPad: the smaller half is first."""
    image = noise(*size)
    width, height = (round(edge * 32 / max(size)) for edge in size)
    expected = np.full((32, 32, 3), (9, 8, 7), np.uint8)
    left, top = math.floor((32 - width) / 2), math.floor((32 - height) / 2)
    fitted = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    expected[top : top + height, left : left + width] = fitted
    np.testing.assert_array_equal(decoded(image, moded("letterbox")), expected)


def test_letterbox_with_a_crop_fraction() -> None:
    image = noise(64, 32)
    fitted = np.asarray(image.resize((40, 20), Image.Resampling.BILINEAR))
    received = decoded(image, moded("letterbox", 40, 32))
    np.testing.assert_array_equal(received[6:26], fitted[:, 4:36])
    assert (received[[0, 5, 26, 31]] == (9, 8, 7)).all()


def test_a_line_of_pixels_is_letterboxed_as_a_line() -> None:
    received = decoded(Image.new("RGB", (2000, 1), "white"), moded("letterbox"))
    assert (received[15] == 255).all()
    assert (received[np.arange(32) != 15] == (9, 8, 7)).all()


def test_the_borders_are_not_changed_by_a_profile_or_transparency() -> None:
    clear = Image.new("RGBA", (40, 20), (255, 0, 0, 0))
    received = decoded(clear, moded("letterbox"))
    assert (received[:8] == (9, 8, 7)).all()
    assert (received[8:24] == 255).all()


@pytest.mark.parametrize("mode", ["squash", "letterbox"])
@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_every_orientation_is_upright(mode: ResizeMode, orientation: int, format: str) -> None:
    """Also of a JPEG that is decoded at a fraction of its size."""
    scene = quadrants(400, 300)
    exif = orientation_tag(orientation)
    data = encoded(as_stored(scene, orientation), format, exif=exif)
    received = decode(data, moded(mode), max_pixels=MAX_PIXELS).astype(int)
    expected = decoded(scene, moded(mode)).astype(int)
    assert abs(received - expected).mean() < 3
    assert {tuple(received[y, x] // 60) for y in (6, 25) for x in (6, 25)} == {
        (3, 0, 0),
        (0, 3, 0),
        (0, 0, 4),
        (2, 2, 2),
    }


@BY_SIZE
@pytest.mark.parametrize("mode", ["crop", "squash", "letterbox"])
def test_bilinear_without_antialias_is_that_of_tensorflow(
    size: tuple[int, int], mode: ResizeMode
) -> None:
    import tensorflow as tf

    image = noise(*size)
    preprocessing = replace(moded(mode, 24, 20), antialias=False)
    received = np.asarray(crop(image, preprocessing)).astype(float)
    width, height = {
        "crop": [int(24 * edge / min(size)) for edge in size],
        "squash": [24, 24],
        "letterbox": [round(24 * edge / max(size)) for edge in size],
    }[mode]
    whole = tf.image.resize(np.asarray(image), (height, width), antialias=False).numpy()
    rows, columns = min(height, 20), min(width, 20)
    top, left = round((height - rows) / 2), round((width - columns) / 2)
    expected = whole[top : top + rows, left : left + columns]
    # Ours are whole levels; TensorFlow computes positions in float32.
    np.testing.assert_allclose(received, expected, atol=0.51)


@BY_SIZE
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_without_antialias_is_that_of_torch(
    size: tuple[int, int], interpolation: Interpolation
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    image = noise(*size)
    preprocessing = replace(moded("squash", 24, 24, interpolation), antialias=False)
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(
        tensor, (24, 24), mode=interpolation, align_corners=False
    )
    expected = resized[0].permute(1, 2, 0).clamp(0, 255).numpy()
    received = np.asarray(crop(image, preprocessing)).astype(float)
    np.testing.assert_allclose(received, expected, atol=0.51)


def keys(distance: float) -> float:
    """Keys's cubic kernel with a = -0.75."""
    x = abs(distance)
    if x < 1:
        return 1.25 * x**3 - 2.25 * x**2 + 1
    return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0


def interpolated(line: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """One line resized by the definition, pixel by pixel."""
    result = []
    for index in range(size):
        position = (index + 0.5) * len(line) / size - 0.5
        around = range(math.floor(position) - 1, math.floor(position) + 3)
        values = [line[min(max(at, 0), len(line) - 1)] * keys(at - position) for at in around]
        result.append(sum(values))
    return np.array(result)


@BY_SIZE
def test_bicubic_without_antialias_is_that_of_its_definition(size: tuple[int, int]) -> None:
    image = noise(*size).convert("L")
    preprocessing = replace(moded("squash", 24, 24, "bicubic"), antialias=False)
    columns = np.stack([interpolated(row, 24) for row in np.asarray(image, float)])
    expected = np.stack([interpolated(column, 24) for column in columns.T], axis=1)
    received = np.asarray(crop(image, preprocessing)).astype(float)
    np.testing.assert_allclose(received, expected.clip(0, 255), atol=0.5 + 1e-6)


@pytest.mark.parametrize("mode", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize(("antialias", "interpolation"), [(False, "bilinear"), (True, "nearest")])
def test_a_jpeg_is_decoded_whole_where_pixels_are_not_averaged(
    mode: ResizeMode, antialias: bool, interpolation: Interpolation
) -> None:
    image = noise(400, 300)
    preprocessing = replace(moded(mode, interpolation=interpolation), antialias=antialias)
    # Quality 100 without subsampling: the photo is within a level or two of the noise.
    data = encoded(image, "JPEG", quality=100, subsampling=0)
    received = decode(data, preprocessing, max_pixels=MAX_PIXELS).astype(int)
    np.testing.assert_allclose(received, decoded(image, preprocessing).astype(int), atol=5)


@pytest.mark.parametrize("kind", ["L", "RGB", "CMYK", "P", "1"])
def test_without_antialias_in_every_mode_of_image(kind: str) -> None:
    image = noise(64, 48).convert(kind)
    preprocessing = replace(moded("crop"), antialias=False)
    data = encoded(image, "TIFF")
    received = decode(data, preprocessing, max_pixels=MAX_PIXELS)
    assert received.shape == (32, 32, 3)
    assert received.std() > 20


def test_grey_has_three_equal_channels() -> None:
    image = noise(40, 40)
    received = decoded(image, replace(moded("squash"), channel_order="L"))
    resized = image.resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(received, np.stack([np.asarray(resized.convert("L"))] * 3, -1))
