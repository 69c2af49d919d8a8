"""What an image's first bytes say of its size, and what its decoding is likely to take.

A few fields at known places, none of them trusted: the limits of `service.imaging.limits` hold in
the decoding process. Here they decide whose turn it is.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import TooManyPixels

# Nanoseconds a pixel, of photos and of one color the dearer, on a core of Zen 4 at 2.6 GHz. A JPEG
# of many pixels is decoded at a fraction.
NANOSECONDS_A_PIXEL = {
    "JPEG": 1,
    "progressive JPEG": 4,
    "PNG": 20,
    "WEBP": 16,
    "AVIF": 16,
    "HEIF": 30,
    "GIF": 12,
    "TIFF": 16,
    "BMP": 8,
    "BMP packed by runs": 115,
    "other": 20,
}
# Entropy coding; what another format takes for its bytes is within its pixels.
JPEG_NANOSECONDS_A_BYTE = 8
BASE_SECONDS = 0.002
# A format that is served, whose size is not where it is looked for.
UNKNOWN_SECONDS = 0.1
# How far it is looked for.
MAX_SEGMENTS = 256
MAX_ENTRIES = 512
MAX_BOX_BYTES = 2**16
MAX_BOXES = 64
# ITU-T T.81, table B.1: frames, of which those are progressive; what is none among their codes;
# and markers without a length.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
NO_LENGTH = {0x01, 0xFF, *range(0xD0, 0xDA)}
RUN_LENGTHS = (1, 2)
# The brands of HEIC begin so.
HEVC = (b"hei", b"hev")
MAGIC_BYTES = 12

Bytes = bytes | memoryview


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """kind: a key of `NANOSECONDS_A_PIXEL`. pixels: width times height; None where not found."""

    kind: str
    pixels: int | None
    file_bytes: int

    @property
    def decode_seconds(self) -> float:
        """An estimate of the time on one CPU."""
        if self.pixels is None:
            return UNKNOWN_SECONDS
        nanoseconds = NANOSECONDS_A_PIXEL[self.kind] * self.pixels
        if "JPEG" in self.kind:
            nanoseconds += JPEG_NANOSECONDS_A_BYTE * self.file_bytes
        return BASE_SECONDS + nanoseconds / 1e9


def read_header(data: Bytes) -> ImageHeader:
    """Of what is no format that is served: one pixel, for it is refused in a moment."""
    beginning = bytes(data[:MAGIC_BYTES])
    for (place, magic), (kind, read) in READERS.items():
        if beginning.startswith(magic, place):
            try:
                variant, width, height = read(data)
            except (struct.error, IndexError, ValueError):
                return ImageHeader(kind, None, len(data))
            return ImageHeader(variant or kind, abs(width * height) or None, len(data))
    return ImageHeader("other", 1, len(data))


class PixelBudget:
    """Counts what the headers say before anything is decoded, and what they hid when it is known.

    limit: None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._pixels = 0

    def add(self, pixels: int) -> None:
        """Raises TooManyPixels."""
        self._pixels += pixels
        if self._limit is not None and self._pixels > self._limit:
            raise TooManyPixels(
                f"The images of a request may have {self._limit} pixels together. "
                f"Received: {self._pixels} or more"
            )


# The kind where it isn't its format's usual one, the width and the height.
_Size = tuple[str, int, int]


def _jpeg(data: Bytes) -> _Size:
    place = 2
    for _ in range(MAX_SEGMENTS):
        if data[place] != 0xFF:
            place += bytes(data[place : place + MAX_SEGMENTS]).index(b"\xff")
        code = data[place + 1]
        if code in FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return "progressive JPEG" if code in PROGRESSIVE else "", width, height
        length = 0 if code in NO_LENGTH else struct.unpack_from(">H", data, place + 2)[0]
        place += (1 if code == 0xFF else 2) + length
    raise IndexError


def _png(data: Bytes) -> _Size:
    return "", *struct.unpack_from(">II", data, 16)


def _gif(data: Bytes) -> _Size:
    return "", *struct.unpack_from("<HH", data, 6)


def _bmp(data: Bytes) -> _Size:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes == 12:
        return "", *struct.unpack_from("<HH", data, 18)
    width, height, _, _, packed = struct.unpack_from("<iiHHI", data, 18)
    return "BMP packed by runs" if packed in RUN_LENGTHS else "", width, height


def _webp(data: Bytes) -> _Size:
    kind = bytes(data[12:16])
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[place : place + 3], "little") for place in (24, 27))
        return "", width + 1, height + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return "", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return "", width & 0x3FFF, height & 0x3FFF


def _tiff(data: Bytes) -> _Size:
    order, big = "<" if data[:2] == b"II" else ">", 43 in data[2:4]
    (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    count = "Q" if big else "H"
    (entries,) = struct.unpack_from(order + count, data, min(place, len(data)))
    place += struct.calcsize(count)
    found: dict[int, int] = {}
    for _ in range(min(entries, MAX_ENTRIES)):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        short = "H" if kind == 3 else "I"
        found[tag] = struct.unpack_from(order + short, data, place + (12 if big else 8))[0]
        place += 20 if big else 12
    return "", found.get(256, 0), found.get(257, 0)


def _isobmff(data: Bytes) -> _Size:
    """The largest of its images: a tile is smaller than the whole."""
    largest, place, boxes = (0, 0), 0, bytes(data[:MAX_BOX_BYTES])
    for _ in range(MAX_BOXES):
        place = boxes.find(b"ispe", place) + 4
        if place < 4:
            break
        width, height = struct.unpack_from(">II", boxes, place + 4)
        largest = max(largest, (width, height), key=math.prod)
    return "HEIF" if bytes(data[8:11]) in HEVC else "", *largest


READERS: dict[tuple[int, bytes], tuple[str, Callable[[Bytes], _Size]]] = {
    (0, b"\xff\xd8\xff"): ("JPEG", _jpeg),
    (0, b"\x89PNG"): ("PNG", _png),
    (0, b"GIF8"): ("GIF", _gif),
    (0, b"BM"): ("BMP", _bmp),
    (8, b"WEBP"): ("WEBP", _webp),
    (0, b"II*\0"): ("TIFF", _tiff),
    (0, b"MM\0*"): ("TIFF", _tiff),
    (0, b"II+\0"): ("TIFF", _tiff),
    (0, b"MM\0+"): ("TIFF", _tiff),
    (4, b"ftyp"): ("AVIF", _isobmff),
}
