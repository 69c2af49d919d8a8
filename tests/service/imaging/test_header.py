"""What an image's first bytes say, of every format and of bytes that are none."""

from __future__ import annotations

import io
import random
import struct

import pytest
from PIL import Image, features

from service.imaging.header import (
    BASE_SECONDS,
    NANOSECONDS_A_PIXEL,
    UNKNOWN_SECONDS,
    ImageHeader,
    read_header,
)
from tests.service.images import encoded, header_alone, noise, plain, runs_bmp

SIZE = (70, 41)
PHOTO = noise(*SIZE)


def jpeg(**options: object) -> bytes:
    return encoded(PHOTO, "JPEG", **options)


FILES = {
    "JPEG": jpeg(),
    "progressive JPEG": jpeg(progressive=True),
    "PNG": encoded(PHOTO, "PNG"),
    "WEBP": encoded(PHOTO, "WEBP"),
    "GIF": encoded(PHOTO, "GIF"),
    "TIFF": encoded(PHOTO, "TIFF"),
    "BMP": encoded(PHOTO, "BMP"),
    "BMP packed by runs": runs_bmp(*SIZE, b"\x46\x07\0\0" * 41),
}


@pytest.mark.parametrize("kind", FILES)
def test_each_kind_and_its_pixels(kind: str) -> None:
    assert read_header(FILES[kind]) == ImageHeader(kind, 70 * 41, len(FILES[kind]))


def test_every_kind_is_known_here() -> None:
    assert set(NANOSECONDS_A_PIXEL) == {*FILES, "AVIF", "HEIF", "other"}


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif() -> None:
    data = encoded(PHOTO, "AVIF")
    assert read_header(data) == ImageHeader("AVIF", 70 * 41, len(data))


def exif() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    return exif.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        jpeg(exif=exif()),
        jpeg(comment=b"\xff\xc0" * 100),
        jpeg()[:2] + b"\xff" * 9 + jpeg()[2:],
        jpeg()[:20] + b"\0" * 20 + jpeg()[20:],
        encoded(PHOTO, "WEBP", lossless=True),
        encoded(PHOTO, "WEBP", exif=exif()),
        encoded(PHOTO.convert("RGBA"), "WEBP"),
        encoded(PHOTO, "TIFF", big_tiff=True),
        encoded(PHOTO.convert("I;16"), "TIFF"),
    ],
)
def test_what_comes_before_and_beside_it(data: bytes) -> None:
    assert read_header(data).pixels == 70 * 41


def test_a_tiff_of_the_other_byte_order() -> None:
    data = b"MM\0*" + struct.pack(">IH", 8, 2)
    data += struct.pack(">HHIHH", 256, 3, 1, 70, 0) + struct.pack(">HHII", 257, 4, 1, 41)
    assert read_header(data) == ImageHeader("TIFF", 70 * 41, len(data))


def test_an_old_bitmap_and_one_from_the_top() -> None:
    old = b"BM" + bytes(12) + struct.pack("<IHH", 12, 70, 41)
    assert read_header(old).pixels == 70 * 41
    upright = b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 70, -41, 1, 24, 0)
    assert read_header(upright).pixels == 70 * 41


@pytest.mark.parametrize("data", [b"", b"\0", b"%PDF-1.7", b"GIF", bytes(1000)])
def test_what_is_no_image_is_refused_in_a_moment(data: bytes) -> None:
    header = read_header(data)
    assert (header.kind, header.pixels) == ("other", 1)
    assert header.decode_seconds < 2 * BASE_SECONDS


@pytest.mark.parametrize("kind", FILES)
def test_a_header_that_ends_too_early(kind: str) -> None:
    """It takes no error, and what is not known counts as slow."""
    for end in range(8, 60):
        header = read_header(FILES[kind][:end])
        assert header.pixels in (None, 1, 70 * 41)
        if header.pixels is None:
            assert header.decode_seconds == UNKNOWN_SECONDS


def test_it_reads_so_far_and_no_further() -> None:
    """Of segments, of bytes between them, and of boxes."""
    # Behind its first segment.
    start, rest = jpeg()[:20], jpeg()[20:]
    segment = b"\xff\xfe\0\x02"
    assert read_header(start + segment * 200 + rest).pixels == 70 * 41
    assert read_header(start + segment * 300 + rest).pixels is None
    assert read_header(start + b"\0" * 300 + rest).pixels is None
    box = b"\0\0\0 ftypavif" + bytes(2**16) + b"ispe" + struct.pack(">III", 0, 70, 41)
    assert read_header(box).pixels is None


def test_no_bytes_raise() -> None:
    chance = random.Random(0)
    for data in FILES.values():
        for _ in range(300):
            mutated = bytearray(data[:200])
            for _ in range(8):
                mutated[chance.randrange(len(mutated))] = chance.randrange(256)
            header = read_header(bytes(mutated))
            assert header.decode_seconds > 0
            assert header.kind in NANOSECONDS_A_PIXEL


def test_a_dear_image_costs_more() -> None:
    """By its pixels, and a JPEG by its bytes."""
    costs = [
        read_header(header_alone("PNG", edge, edge)).decode_seconds for edge in (10, 1000, 7000)
    ]
    assert costs == sorted(costs)
    assert costs[1] == pytest.approx(0.022)
    small, large = (ImageHeader("JPEG", 1000, size).decode_seconds for size in (0, 10**6))
    assert large - small == pytest.approx(0.008)
    assert read_header(plain("red", (40, 40), "PNG")).decode_seconds == pytest.approx(0.002032)


def test_the_files_above_are_what_they_are_called() -> None:
    for kind, data in FILES.items():
        assert Image.open(io.BytesIO(data)).size == SIZE, kind
