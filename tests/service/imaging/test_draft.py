"""Large JPEGs are decoded at a fraction of their size, and look as if they were not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from model_builder.artifact.preprocessing import Interpolation
from service.imaging.decoder import decode
from tests.service.images import (
    SIDES,
    as_stored,
    encoded,
    noise,
    orientation_tag,
    recipe,
    reference,
)

MAX_PIXELS = 2_000_000
# Levels that any channel of any pixel may be off.
TOLERANCE = 3


@pytest.fixture
def allocated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes that images are decoded at."""
    sizes: list[tuple[int, int]] = []
    prepare = ImageFile.ImageFile.load_prepare

    def recorded(image: ImageFile.ImageFile) -> None:
        sizes.append(image.size)
        prepare(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", recorded)
    return sizes


def scene(width: int, height: int) -> Image.Image:
    return noise(9, 7).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, orientation: int = 1, **options: object) -> bytes:
    exif = orientation_tag(orientation)
    return encoded(image, "JPEG", quality=95, exif=exif, **{"subsampling": 0, **options})


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((160, 127), (160, 127)),
        ((160, 128), (80, 64)),
        ((257, 260), (65, 65)),
        ((1001, 513), (126, 65)),
        ((1201, 1100), (151, 138)),
    ],
)
def test_a_jpeg_is_decoded_no_larger_than_is_needed(
    allocated: list[tuple[int, int]], size: tuple[int, int], decoded: tuple[int, int]
) -> None:
    decode(jpeg(scene(*size)), recipe(32, 28), max_pixels=MAX_PIXELS)
    assert allocated == [decoded]


@pytest.mark.parametrize("size", [(160, 127), (90, 127), (33, 47)])
def test_a_jpeg_that_is_decoded_whole_is_cut_bit_for_bit(size: tuple[int, int]) -> None:
    """Only a fraction's square, resized from a box of it, may be a level off."""
    data = jpeg(noise(*size))
    whole = Image.open(io.BytesIO(data))
    pixels = decode(data, recipe(32, 28), max_pixels=MAX_PIXELS)
    np.testing.assert_array_equal(pixels, np.asarray(reference(whole, recipe(32, 28))))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_no_other_format_has_fractions(allocated: list[tuple[int, int]], format: str) -> None:
    decode(encoded(scene(300, 256), format), recipe(32, 28), max_pixels=MAX_PIXELS)
    assert allocated == [(300, 256)]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(403, 257), (257, 403), (1203, 517), (640, 639)])
def test_it_is_cut_as_the_whole_image_would_be(
    size: tuple[int, int], progressive: bool, subsampling: int, interpolation: Interpolation
) -> None:
    image, preprocessing = scene(*size), recipe(32, 28, interpolation)
    data = jpeg(image, progressive=progressive, subsampling=subsampling)
    pixels = decode(data, preprocessing, max_pixels=MAX_PIXELS)
    expected = np.asarray(reference(image, preprocessing)).astype(int)
    # Chroma at half the resolution is a little blurred to begin with.
    np.testing.assert_allclose(pixels.astype(int), expected, atol=TOLERANCE + 2 * subsampling)


# A margin of an odd number of pixels: which side gets the odd one depends on the orientation.
@pytest.mark.parametrize("edge", [32, 33])
@pytest.mark.parametrize("orientation", SIDES)
def test_every_orientation_is_cut_as_the_upright_image_would_be(
    orientation: int, edge: int
) -> None:
    image, preprocessing = scene(405, 270), recipe(edge, 28)
    data = jpeg(as_stored(image, orientation), orientation)
    pixels = decode(data, preprocessing, max_pixels=MAX_PIXELS)
    expected = np.asarray(reference(image, preprocessing)).astype(int)
    np.testing.assert_allclose(pixels.astype(int), expected, atol=TOLERANCE)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_four_colors_have_fractions_too(
    allocated: list[tuple[int, int]], mode: str
) -> None:
    image = scene(400, 270).convert(mode)
    data = encoded(image, "JPEG", quality=95)
    pixels = decode(data, recipe(32, 28), max_pixels=MAX_PIXELS)
    assert allocated == [(100, 68)]
    expected = np.asarray(reference(image.convert("RGB"), recipe(32, 28))).astype(int)
    np.testing.assert_allclose(pixels.astype(int), expected, atol=TOLERANCE)
