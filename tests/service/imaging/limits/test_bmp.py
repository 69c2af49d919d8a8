"""A BMP of run lengths, which Pillow unpacks in Python, may have few pixels and few runs."""

from __future__ import annotations

import pytest
from PIL import Image

from service.errors import InvalidImage
from service.imaging.decoder import decode, open_image
from tests.service.images import encoded, recipe, runs_bmp

# A run of one pixel; the end of a line; a move by no pixels.
RUN, LINE_END, NO_MOVE = b"\x01\x07", b"\0\0", b"\0\x02\0\0"


def test_a_run_for_each_pixel_is_accepted() -> None:
    runs = (RUN * 64 + LINE_END) * 64
    pixels = decode(runs_bmp(64, 64, runs), recipe(16, 14), max_pixels=5000)
    assert pixels.shape == (14, 14, 3)


def test_limit_of_bytes_for_the_pixels() -> None:
    """Pillow executes operations that draw nothing as long as the image is not full."""
    limit = 2 * 65 * 64 + 1024
    open_image(runs_bmp(64, 64, NO_MOVE * (limit // 4)), max_pixels=5000)
    with pytest.raises(InvalidImage, match=f"may have {limit} bytes of packed runs"):
        open_image(runs_bmp(64, 64, NO_MOVE * (limit // 4) + b"\0"), max_pixels=5000)


def test_limit_of_bytes_for_any_number_of_pixels() -> None:
    runs = NO_MOVE * (2**17 // 4)
    open_image(runs_bmp(1024, 1024, runs), max_pixels=2_000_000)
    with pytest.raises(InvalidImage, match="may have 131072 bytes of packed runs"):
        open_image(runs_bmp(1024, 1024, runs + b"\0"), max_pixels=2_000_000)


def test_limit_of_pixels() -> None:
    """Pillow fills the rest of a line that ends early pixel by pixel."""
    open_image(runs_bmp(1024, 1024, (RUN + LINE_END) * 1024), max_pixels=2_000_000)
    with pytest.raises(InvalidImage, match="may have 1048576 pixels packed by runs"):
        open_image(runs_bmp(1024, 1025, b""), max_pixels=2_000_000)
    open_image(encoded(Image.new("L", (1024, 1025)), "BMP"), max_pixels=2_000_000)
