"""A PNG's chunks are counted, and the frames that its animation control states."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from service.errors import ImageTooLarge, InvalidImage
from service.imaging.decoder import decode
from service.imaging.limits.dimensions import MAX_PARTS
from service.imaging.limits.png import check_chunks
from tests.service.images import encoded, inserted, noise, png_chunk, recipe

PNG = encoded(noise(24, 24), "PNG")
# Where the chunks after IHDR begin.
CHUNKS = 33
FREE_PARTS = MAX_PARTS - PNG.count(b"IHDR") - PNG.count(b"IDAT")


def test_limit_of_chunks() -> None:
    chunk = png_chunk(b"teSt", b"")
    allowed = inserted(PNG, CHUNKS, chunk * FREE_PARTS)
    assert decode(allowed, recipe(16, 14), max_pixels=1000).shape == (14, 14, 3)
    with pytest.raises(InvalidImage, match="10000 chunks"):
        decode(inserted(allowed, CHUNKS, chunk), recipe(16, 14), max_pixels=1000)


def test_an_animation_control_that_states_too_many_frames() -> None:
    """Its number is believed, as Pillow believes it; the image before the frames is one more."""
    control = png_chunk(b"acTL", struct.pack(">II", 2_000_000, 0))
    with pytest.raises(ImageTooLarge, match="Received: 2000001 or more"):
        decode(inserted(PNG, CHUNKS, control), recipe(16, 14), max_pixels=1000)


def test_an_encoders_file_is_within_the_limit() -> None:
    check_chunks(encoded(Image.effect_noise((1500, 1500), 90), "PNG"))


def test_bytes_after_the_image_are_not_counted() -> None:
    decode(PNG + bytes(1_000_000), recipe(16, 14), max_pixels=1000)


def test_a_truncated_file_is_left_to_the_reader() -> None:
    for end in range(len(PNG)):
        check_chunks(PNG[:end])
