"""The crop's place in the image, by what the decoded crop shows of a gradient."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ExifTags, Image

from model_builder.artifact.preprocessing import Preprocessing
from service.imaging.decoder import open_image, render
from service.imaging.transforms import crop_box
from tests.service.images import encoded, recipe

SIZES = [(300, 200), (200, 300), (64, 64), (1000, 900), (2000, 100), (100, 2000), (40, 31)]
RECIPES = {"wide": recipe(64, 56), "narrow": recipe(80, 40), "whole": recipe(48, 48)}
each_recipe = pytest.mark.parametrize("preprocessing", RECIPES.values(), ids=RECIPES)
# Of 255: a pixel of the crop is rounded, and JPEG is lossy.
TOLERANCE = 2.5
# Which transposition of an upright image has each orientation: its own inverse but for 6 and 8.
STORED = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def gradient(width: int, height: int) -> Image.Image:
    """Red is the place along a row, green that along a column: 0 to 255."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[..., 0] = np.rint((np.arange(width) + 0.5) / width * 255)
    pixels[..., 1] = np.rint((np.arange(height) + 0.5) / height * 255)[:, None]
    return Image.fromarray(pixels)


def assert_it_shows_the_box(data: bytes, size: tuple[int, int], recipe: Preprocessing) -> None:
    rendered = render(open_image(data, max_pixels=10**7), recipe)
    assert (rendered.width, rendered.height) == size
    left, top, right, bottom = crop_box(*size, recipe)
    assert 0 <= left < right <= size[0] + 1
    assert 0 <= top < bottom <= size[1] + 1
    shown = rendered.pixels.astype(float)
    # A place well within the crop: at the image's border a resize has no neighbors to average.
    for part in (0.25, 0.5, 0.75):
        index = int(part * recipe.crop_size)
        place = (index + 0.5) / recipe.crop_size
        column, row = shown[:, index, 0].mean(), shown[index, :, 1].mean()
        assert column == pytest.approx(
            (left + place * (right - left)) / size[0] * 255, abs=TOLERANCE
        )
        assert row == pytest.approx((top + place * (bottom - top)) / size[1] * 255, abs=TOLERANCE)


@each_recipe
@pytest.mark.parametrize("size", SIZES)
def test_the_box_is_what_the_crop_shows(
    size: tuple[int, int], preprocessing: Preprocessing
) -> None:
    assert_it_shows_the_box(encoded(gradient(*size)), size, preprocessing)


@each_recipe
@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_it_is_that_of_the_upright_image(
    orientation: int, format: str, preprocessing: Preprocessing
) -> None:
    """Also of a JPEG that is decoded at a fraction of its size."""
    upright = gradient(1200, 700)
    turn = STORED[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encoded(stored, format, exif=exif.tobytes())
    assert_it_shows_the_box(data, upright.size, preprocessing)
