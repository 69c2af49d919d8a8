"""A JPEG's segments, Exif segments and scans are counted, and too many are refused."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from service.errors import InvalidImage
from service.imaging.decoder import decode, open_image
from service.imaging.limits.dimensions import MAX_PARTS
from service.imaging.limits.jpeg import MAX_EXIF_SEGMENTS, SEARCHED_BYTES, check_segments
from tests.service.images import encoded, header_alone, inserted, noise, recipe

IMAGE = noise(24, 24)
JPEG = encoded(IMAGE, "JPEG")
PROGRESSIVE = encoded(IMAGE, "JPEG", progressive=True)
EXIF = b"\xff\xe1" + struct.pack(">H", 8) + b"Exif\0\0"
SEGMENT = b"\xff\xec\0\x02"
TABLES = JPEG.index(b"\xff\xdb")
# Segments that can be added to JPEG: it has JFIF's, the frame's, and its tables.
FREE_PARTS = MAX_PARTS - (JPEG.count(b"\xff\xdb") + JPEG.count(b"\xff\xc4") + 2)


@pytest.mark.parametrize(
    ("allowed", "refused", "message"),
    [
        (
            inserted(JPEG, 2, EXIF * MAX_EXIF_SEGMENTS),
            inserted(JPEG, 2, EXIF * (MAX_EXIF_SEGMENTS + 1)),
            "64 Exif segments",
        ),
        (
            inserted(JPEG, 2, SEGMENT * FREE_PARTS),
            inserted(JPEG, 2, SEGMENT * MAX_PARTS),
            "parts before its first scan",
        ),
        (JPEG, inserted(JPEG, TABLES, b"\0" * MAX_PARTS), "parts before its first scan"),
        (JPEG, inserted(JPEG, TABLES, b"\xff" * MAX_PARTS), "parts before its first scan"),
    ],
    ids=["Exif", "segments", "bytes outside of segments", "fill bytes"],
)
def test_limits_of_the_header(allowed: bytes, refused: bytes, message: str) -> None:
    assert decode(allowed, recipe(16, 14), max_pixels=1000).shape == (14, 14, 3)
    with pytest.raises(InvalidImage, match=message):
        decode(refused, recipe(16, 14), max_pixels=1000)


@pytest.mark.parametrize(
    ("part", "count"),
    [(b"", 0), (b"\xff\xd0", 1), (b"\xff\xff\xd0", 2), (b"\xff\xfe\0\x01", 1)],
    ids=["zeros", "a marker without a length", "a fill byte", "a length of one"],
)
def test_the_header_is_walked_as_pillow_walks_it(part: bytes, count: int) -> None:
    """`part` counts as `count` parts, and the next begins where Pillow continues."""
    zeros = b"\0" * (FREE_PARTS - count)
    check_segments(inserted(JPEG, TABLES, part + zeros))
    with pytest.raises(InvalidImage, match="parts before its first scan"):
        check_segments(inserted(JPEG, TABLES, part + zeros + b"\0"))


def test_segments_after_a_marker_without_a_length_are_counted() -> None:
    """If the next bytes were taken for a length, a segment of 64 kB would hide them."""
    hidden = b"\xff\xd0\xff\xff" + SEGMENT * (MAX_PARTS + 1)
    with pytest.raises(InvalidImage, match="parts before its first scan"):
        decode(inserted(JPEG, 2, hidden), recipe(16, 14), max_pixels=1000)


def with_scans(count: int) -> bytes:
    """A progressive image with `count` scans, the last of which refines what is there."""
    last = PROGRESSIVE.rindex(b"\xff\xda")
    already = PROGRESSIVE.count(b"\xff\xda") - 1
    return PROGRESSIVE[:last] + PROGRESSIVE[last:-2] * (count - already) + b"\xff\xd9"


def test_a_scan_counts_all_pixels_of_the_image() -> None:
    assert decode(with_scans(21), recipe(16, 14), max_pixels=1000).shape == (14, 14, 3)
    header = header_alone("JPEG", 8160, 6120)
    # The header's own scan, and more with every number of components, across the boundaries of
    # two searches.
    scans = [b"\xff\xda\0" + bytes([6 + 2 * number, number]) for number in (1, 2, 3, 4)] * 5
    data = bytearray(SEARCHED_BYTES * len(scans))
    data[: len(header)] = header
    for number, scan in enumerate(scans[:-1], start=1):
        place = number * SEARCHED_BYTES - number % 6
        data[place : place + len(scan)] = scan
    open_image(bytes(data), max_pixels=50_000_000)
    data[-5:] = scans[-1]
    with pytest.raises(InvalidImage, match="may have 20 scans of 49939200 pixels"):
        open_image(bytes(data), max_pixels=50_000_000)


def test_a_scan_counts_at_least_ten_thousand_pixels() -> None:
    scan = b"\xff\xda\0\x08\x01"
    decode(JPEG + scan * 99_999, recipe(16, 14), max_pixels=1000)
    with pytest.raises(InvalidImage, match="may have 100000 scans of 576 pixels"):
        decode(JPEG + scan * 100_000, recipe(16, 14), max_pixels=1000)


@pytest.mark.parametrize("almost", [b"\0\x08\x02", b"\0\x10\x05", b"\0\x06\0", b"\x01\x08\x01"])
def test_a_marker_with_an_impossible_length_is_not_a_scan(almost: bytes) -> None:
    decode(JPEG + (b"\xff\xda" + almost) * 100_001, recipe(16, 14), max_pixels=1000)


def test_a_marker_by_chance_is_not_a_scan() -> None:
    """A film behind a photo, as phones write it, has the two bytes of a marker here and there."""
    data = JPEG + b"\xff\xda\x31\x07" * 1000
    decode(data, recipe(16, 14), max_pixels=1000)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}], ids=str
)
def test_an_encoders_file_is_within_the_limits(options: dict[str, object]) -> None:
    check_segments(encoded(Image.effect_noise((1500, 1500), 90), "JPEG", **options))


def test_bytes_after_the_image_are_not_counted() -> None:
    decode(JPEG + bytes(1_000_000), recipe(16, 14), max_pixels=1000)


def test_a_truncated_file_is_left_to_the_reader() -> None:
    for end in range(len(JPEG)):
        check_segments(JPEG[:end])
