"""Files of millions of parts are refused before a reader begins to count."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from service.errors import InvalidImage
from service.images import decode, open_picture
from service.structure import (
    MAX_EXIF_SEGMENTS,
    MAX_PARTS,
    check_scans,
    check_structure,
)
from tests.service.pictures import encoded, noise, png_chunk, recipe

IMAGE = noise(24, 24)
JPEG, PNG, GIF = (encoded(IMAGE, format) for format in ("JPEG", "PNG", "GIF"))
PROGRESSIVE = encoded(IMAGE, "JPEG", progressive=True)
EXIF = b"\xff\xe1" + struct.pack(">H", 8) + b"Exif\0\0"
COMMENT = b"!\xfe" + b"\x01x"


def with_scans(count: int) -> bytes:
    """That many of the last scan of a progressive picture, which refines what is there."""
    last = PROGRESSIVE.rindex(b"\xff\xda")
    already = PROGRESSIVE.count(b"\xff\xda") - 1
    return PROGRESSIVE[:last] + PROGRESSIVE[last:-2] * (count - already) + b"\xff\xd9"


def after(data: bytes, place: int, part: bytes, count: int) -> bytes:
    return data[:place] + part * count + data[place:]


def gif_with(blocks: int) -> bytes:
    start = GIF.index(b",\0\0\0\0")
    # The extension's own end is a block too.
    return GIF[:start] + b"!\xfe" + b"\x01x" * (blocks - 2) + b"\0" + GIF[start:]


def jpeg_parts(count: int) -> int:
    """How many more the plain JPEG can have."""
    return count - (JPEG.count(b"\xff\xdb") + JPEG.count(b"\xff\xc4") + 2)


PNG_CHUNKS = PNG.count(b"IHDR") + PNG.count(b"IDAT")


@pytest.mark.parametrize(
    ("most", "too_many", "said"),
    [
        (
            after(JPEG, 2, EXIF, MAX_EXIF_SEGMENTS),
            after(JPEG, 2, EXIF, MAX_EXIF_SEGMENTS + 1),
            "64 Exif segments",
        ),
        (
            after(JPEG, 2, b"\xff\xec\0\x02", jpeg_parts(MAX_PARTS)),
            after(JPEG, 2, b"\xff\xec\0\x02", MAX_PARTS),
            "parts before its first scan",
        ),
        (JPEG, after(JPEG, JPEG.index(b"\xff\xdb"), b"\0", MAX_PARTS), "parts before"),
        (JPEG, after(JPEG, JPEG.index(b"\xff\xdb"), b"\xff", MAX_PARTS), "parts before"),
        (
            after(PNG, 33, png_chunk(b"teSt", b""), MAX_PARTS - PNG_CHUNKS),
            after(PNG, 33, png_chunk(b"teSt", b""), MAX_PARTS - PNG_CHUNKS + 1),
            "20000 chunks",
        ),
        (gif_with(MAX_PARTS - 1), gif_with(MAX_PARTS + 1), "blocks before its first frame"),
        (GIF, after(GIF, GIF.index(b",\0\0\0\0"), b"\0", MAX_PARTS + 1), "blocks before"),
    ],
    ids=["Exif", "segments", "junk", "fill", "chunks", "comments", "zeros"],
)
def test_so_many_and_no_more(most: bytes, too_many: bytes, said: str) -> None:
    assert decode(most, recipe(16, 14), max_pixels=1000).shape == (14, 14, 3)
    with pytest.raises(InvalidImage, match=said):
        decode(too_many, recipe(16, 14), max_pixels=1000)


def test_a_scan_costs_what_the_picture_has_pixels() -> None:
    twenty, more = with_scans(20), with_scans(21)
    assert decode(more, recipe(16, 14), max_pixels=1000).shape == (14, 14, 3)
    check_scans(twenty, 50_000_000)
    with pytest.raises(InvalidImage, match="may have 20 scans of 50000000 pixels"):
        check_scans(more, 50_000_000)
    large = Image.new("L", (5000, 5000))
    data = encoded(large, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(InvalidImage, match="may have 40 scans of 25000000 pixels"):
        open_picture(data[:last] + data[last:] * 50, max_pixels=50_000_000)


@pytest.mark.parametrize("data", [JPEG, PNG, GIF], ids=["JPEG", "PNG", "GIF"])
def test_a_broken_file_is_left_to_the_reader(data: bytes) -> None:
    for end in range(len(data)):
        check_structure(data[:end])


@pytest.mark.parametrize("data", [JPEG, PNG, GIF], ids=["JPEG", "PNG", "GIF"])
def test_what_follows_the_picture_does_not_count(data: bytes) -> None:
    decode(data + bytes(1_000_000), recipe(16, 14), max_pixels=1000)


def test_chance_is_no_scan() -> None:
    """A film behind a photo, as phones write it, has the two bytes of a marker here and there."""
    data = JPEG + b"\xff\xda\x31\x07" * 1000
    decode(data, recipe(16, 14), max_pixels=1000)


def test_every_encoders_parts_are_few(recwarn: pytest.WarningsRecorder) -> None:
    large = Image.effect_noise((1500, 1500), 90)
    for options in ({"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}):
        check_structure(encoded(large, "JPEG", **options))
    check_structure(encoded(large, "PNG"))
    check_structure(encoded(large, "GIF"))
    assert not recwarn
