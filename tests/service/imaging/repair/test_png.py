"""What of a PNG may be broken without a pixel being lost, and what may not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from service.errors import InvalidImage
from service.imaging.decoder import decode
from service.imaging.repair.png import repairs
from tests.service.images import (
    as_stored,
    encoded,
    inserted,
    noise,
    orientation_tag,
    png_chunk,
    quadrants,
    recipe,
)
from tests.service.imaging.profiles import SRGB, rgb_profile

WHOLE = encoded(noise(40, 40))
AFTER_HEADER, BEFORE_END = 33, len(WHOLE) - 12
PIXELS = WHOLE.index(b"IDAT") - 4
# Those of the specification and of its extensions, and names that no chunk has.
KINDS = (
    *(b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"cHRM", b"pHYs", b"sRGB", b"tIME", b"iCCP", b"eXIf"),
    *(b"bKGD", b"sBIT", b"hIST", b"sPLT", b"acTL", b"fcTL", b"fdAT", b"tRNS", b"cICP"),
    *(b"abCd", b"a\0Cd", b"1234", b"\xff\xfe\xfd\xfc"),
)
Pixels = npt.NDArray[np.uint8]


def pixels_of(data: bytes) -> Pixels:
    return decode(data, recipe(40, 40), max_pixels=10**6)


def broken(kind: bytes, content: bytes = b"abcde", length: int | None = None) -> bytes:
    """A chunk whose sum is wrong, and perhaps its length."""
    stated = len(content) if length is None else length
    return struct.pack(">I4s", stated, kind) + content + b"\0\0\0\0"


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "a wrong sum": broken,
    "no content": lambda kind: png_chunk(kind, b""),
    "too short content": lambda kind: png_chunk(kind, b"\xff"),
    "too long content": lambda kind: png_chunk(kind, b"\xff" * 300),
    "a length that is too small": lambda kind: broken(kind, b"abcdefghij", 3),
    "a length beyond the next chunk": lambda kind: broken(kind, b"abc", 2000),
    "a length beyond the end": lambda kind: broken(kind, b"abc", 2**31 + 5),
}


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("place", [AFTER_HEADER, BEFORE_END], ids=["before", "after"])
@pytest.mark.parametrize("damage", BROKEN)
@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_a_broken_ancillary_chunk_is_dropped(kind: bytes, damage: str, place: int) -> None:
    data = inserted(WHOLE, place, BROKEN[damage](kind))
    np.testing.assert_array_equal(pixels_of(data), pixels_of(WHOLE))


def split(between: bytes) -> bytes:
    """The pixels in two chunks, and others between them."""
    length = struct.unpack_from(">I", WHOLE, PIXELS)[0]
    packed = WHOLE[PIXELS + 8 : PIXELS + 8 + length]
    first, second = png_chunk(b"IDAT", packed[:500]), png_chunk(b"IDAT", packed[500:])
    return WHOLE[:PIXELS] + first + between + second + WHOLE[BEFORE_END:]


@pytest.mark.parametrize("between", [png_chunk(b"tEXt", b"a\0b"), broken(b"tEXt")])
def test_a_chunk_between_those_of_the_pixels_is_dropped(between: bytes) -> None:
    np.testing.assert_array_equal(pixels_of(split(between)), pixels_of(WHOLE))


@pytest.mark.parametrize("end", [12, 9, 5, 4, 1])
def test_the_end_may_be_missing(end: int) -> None:
    np.testing.assert_array_equal(pixels_of(WHOLE[:-end]), pixels_of(WHOLE))


@pytest.mark.parametrize("place", [BEFORE_END, len(WHOLE)])
def test_bytes_around_the_end_are_ignored(place: int) -> None:
    np.testing.assert_array_equal(pixels_of(inserted(WHOLE, place, bytes(99))), pixels_of(WHOLE))


def test_what_is_shown_stays_beside_a_broken_chunk() -> None:
    """Transparency, orientation and profile."""
    scene = quadrants(40, 40)
    scene.putalpha(Image.new("L", scene.size, 200))
    exif = orientation_tag(6)
    data = encoded(as_stored(scene, 6), exif=exif, icc_profile=rgb_profile(SRGB[:, [1, 0, 2]]))
    damaged = inserted(data, AFTER_HEADER, broken(b"gAMA"))
    np.testing.assert_array_equal(pixels_of(damaged), pixels_of(data))
    clear = encoded(quadrants(40, 40), transparency=(220, 20, 20))
    # Of a valid sum and a length that Pillow refuses: all others than those that count are dropped.
    damaged = inserted(clear, AFTER_HEADER, png_chunk(b"pHYs", b"abc") + png_chunk(b"iCCP", b""))
    np.testing.assert_array_equal(pixels_of(damaged), pixels_of(clear))
    assert pixels_of(damaged)[0, 0].tolist() == [255] * 3


@pytest.mark.parametrize("name", [b"PLTE", b"IDAT", b"IEND"])
def test_a_palette_is_found_behind_a_chunk_of_a_wrong_length(name: bytes) -> None:
    whole = encoded(noise(40, 40).quantize(16))
    damaged = inserted(whole, whole.index(name) - 4, broken(b"abCd", b"abc", 2**31 + 5))
    np.testing.assert_array_equal(pixels_of(damaged), pixels_of(whole))


class Searched(bytes):
    """Counts the bytes that are searched."""

    searched: ClassVar[int] = 0

    def find(self, sub: Any, start: Any = None, end: Any = None, /) -> int:
        found = super().find(sub, start, end)
        stop = found if found >= 0 else len(self) if end is None else end
        Searched.searched += stop - start
        return found


def test_a_long_file_is_searched_once() -> None:
    """Not for a header that it has, a palette that its pixels have not, or what is behind them."""
    Searched.searched = 0
    chunk = broken(b"abCd", bytes(10**6), 10**6 - 4)
    kept = list(repairs(Searched(inserted(WHOLE, AFTER_HEADER, chunk))))
    assert kept[0] == WHOLE
    assert Searched.searched < 1.1 * 10**6


@pytest.mark.parametrize("cut", [30, 100, 2000])
def test_missing_rows_are_refused(cut: int) -> None:
    for data in (WHOLE[:-cut], inserted(WHOLE, AFTER_HEADER, broken(b"tEXt"))[:-cut]):
        with pytest.raises(InvalidImage, match="PNG image can't be decoded: its data ends"):
            pixels_of(data)


def test_pixels_whose_sum_is_wrong_are_refused() -> None:
    """They may be other pixels: zlib's own sum says so."""
    length = struct.unpack_from(">I", WHOLE, PIXELS)[0]
    packed = WHOLE[PIXELS + 8 : PIXELS + 4 + length] + b"abcd"
    assert zlib.decompressobj().decompress(packed[:-4])
    data = WHOLE[:PIXELS] + png_chunk(b"IDAT", packed) + WHOLE[BEFORE_END:]
    with pytest.raises(InvalidImage, match="PNG image can't be decoded: its data is damaged"):
        pixels_of(data)


def test_a_broken_header_is_refused() -> None:
    data = WHOLE[:29] + b"abcd" + WHOLE[AFTER_HEADER:]
    with pytest.raises(InvalidImage, match="header can't be read: broken PNG file"):
        pixels_of(data)
