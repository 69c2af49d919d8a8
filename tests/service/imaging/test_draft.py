"""Large JPEGs are decoded at a fraction of their size, with pixels close to those of the whole."""

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
# Levels by which a channel of a pixel may differ.
TOLERANCE = 3


@pytest.fixture
def allocated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes at which images are decoded, in order."""
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
def test_a_large_jpeg_is_decoded_at_a_fraction(
    allocated: list[tuple[int, int]], size: tuple[int, int], decoded: tuple[int, int]
) -> None:
    decode(jpeg(scene(*size)), recipe(32, 28), max_pixels=MAX_PIXELS)
    assert allocated == [decoded]


@pytest.mark.parametrize("size", [(160, 127), (90, 127), (33, 47)])
def test_a_jpeg_that_is_decoded_whole_is_cropped_bit_for_bit(size: tuple[int, int]) -> None:
    """Only the square of a fraction is resized from a box and may differ by a level."""
    data = jpeg(noise(*size))
    whole = Image.open(io.BytesIO(data))
    pixels = decode(data, recipe(32, 28), max_pixels=MAX_PIXELS)
    np.testing.assert_array_equal(pixels, np.asarray(reference(whole, recipe(32, 28))))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_other_formats_are_decoded_whole(allocated: list[tuple[int, int]], format: str) -> None:
    decode(encoded(scene(300, 256), format), recipe(32, 28), max_pixels=MAX_PIXELS)
    assert allocated == [(300, 256)]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(403, 257), (257, 403), (1203, 517), (640, 639)])
def test_a_fraction_is_cropped_as_the_whole_image_is(
    size: tuple[int, int], progressive: bool, subsampling: int, interpolation: Interpolation
) -> None:
    image, preprocessing = scene(*size), recipe(32, 28, interpolation)
    data = jpeg(image, progressive=progressive, subsampling=subsampling)
    pixels = decode(data, preprocessing, max_pixels=MAX_PIXELS)
    expected = np.asarray(reference(image, preprocessing)).astype(int)
    # Chroma is stored at half the resolution, and so differs more.
    np.testing.assert_allclose(pixels.astype(int), expected, atol=TOLERANCE + 2 * subsampling)


# 33 leaves a margin of an odd number of pixels: the orientation decides which side gets one more.
@pytest.mark.parametrize("edge", [32, 33])
@pytest.mark.parametrize("orientation", SIDES)
def test_every_orientation_is_cropped_as_the_upright_image_is(orientation: int, edge: int) -> None:
    image, preprocessing = scene(405, 270), recipe(edge, 28)
    data = jpeg(as_stored(image, orientation), orientation)
    pixels = decode(data, preprocessing, max_pixels=MAX_PIXELS)
    expected = np.asarray(reference(image, preprocessing)).astype(int)
    np.testing.assert_allclose(pixels.astype(int), expected, atol=TOLERANCE)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_are_decoded_at_a_fraction(
    allocated: list[tuple[int, int]], mode: str
) -> None:
    image = scene(400, 270).convert(mode)
    data = encoded(image, "JPEG", quality=95)
    pixels = decode(data, recipe(32, 28), max_pixels=MAX_PIXELS)
    assert allocated == [(100, 68)]
    expected = np.asarray(reference(image.convert("RGB"), recipe(32, 28))).astype(int)
    np.testing.assert_allclose(pixels.astype(int), expected, atol=TOLERANCE)
