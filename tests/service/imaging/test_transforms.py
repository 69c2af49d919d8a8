"""The crop is resized without the rest of the image, and no pixel differs by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from model_builder.artifact.preprocessing import Interpolation
from service.imaging.resampling.geometry import ASPECT_LIMIT
from service.imaging.transforms import crop
from tests.service.images import noise, recipe, reference

# Edges of the published checkpoints with crops of 224, and small ones with small crops, so that
# both axes, either and neither can be resized exactly from the crop's box.
RECIPES = st.sampled_from(
    [(256, 224), (232, 224), (235, 224), (224, 224), (64, 56), (58, 56), (40, 7), (32, 32), (3, 1)]
)
EDGES = st.integers(1, 700)


@given(
    EDGES, EDGES, RECIPES, st.sampled_from(["bilinear", "bicubic"]), st.sampled_from(["RGB", "L"])
)
@example(500, 375, (256, 224), "bilinear", "RGB")  # rows exactly
@example(375, 500, (256, 224), "bilinear", "RGB")  # columns exactly
@example(600, 400, (256, 224), "bicubic", "RGB")  # both
@example(500, 333, (232, 224), "bicubic", "RGB")  # neither
@example(333, 500, (235, 224), "bilinear", "CMYK")  # neither, and rows cut off
@example(100, 700, (256, 224), "bicubic", "L")  # enlarged, and rows cut off
@example(200, 700, (256, 224), "bilinear", "RGB")  # much taller than wide
@example(257, 300, (256, 224), "bilinear", "RGB")  # Pillow 13 resizes its columns first
@settings(deadline=None, max_examples=150)
def test_the_crop_is_that_of_the_whole_image_resized(
    width: int, height: int, sizes: tuple[int, int], interpolation: Interpolation, mode: str
) -> None:
    height = min(height, ASPECT_LIMIT * width)
    width = min(width, ASPECT_LIMIT * height)
    image = noise(width, height, seed=width).convert(mode)
    preprocessing = recipe(*sizes, interpolation)
    np.testing.assert_array_equal(
        np.asarray(crop(image, preprocessing)), np.asarray(reference(image, preprocessing))
    )


@pytest.mark.parametrize(
    ("size", "edge", "part"),
    [
        # Both axes exactly: the crop alone. One: only its own step, or its rows. Neither: columns.
        ((600, 400), 256, 0.55),
        ((500, 375), 256, 0.80),
        ((375, 500), 256, 0.75),
        ((375, 500), 232, 0.85),
    ],
)
def test_less_is_computed_than_for_the_whole_image(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], edge: int, part: float
) -> None:
    computed: list[int] = []
    resize = Image.Image.resize

    def counted(
        image: Image.Image,
        size: tuple[int, int],
        resampling: Image.Resampling,
        box: tuple[float, float, float, float] | None = None,
    ) -> Image.Image:
        left, top, right, bottom = box or (0, 0, *image.size)
        # Pillow resizes the rows that the box needs, then the columns; none that have their size.
        if size[0] != image.width or (left, right) != (0, image.width):
            computed.append(size[0] * round(bottom - top))
        if size[1] != image.height or (top, bottom) != (0, image.height):
            computed.append(size[0] * size[1])
        return resize(image, size, resampling, box)

    monkeypatch.setattr(Image.Image, "resize", counted)
    image, preprocessing = noise(*size), recipe(edge, 224)
    crop(image, preprocessing)
    ours = sum(computed)
    computed.clear()
    reference(image, preprocessing)
    assert ours < part * sum(computed)
