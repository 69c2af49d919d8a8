"""Refuses files that are made of so many parts that reading past them is work.

Pillow reads the parts of a header one by one, in Python. Photos have dozens of them; 20 MB have
room for millions.
"""

from __future__ import annotations

from service.errors import InvalidImage

MAX_PARTS = 20_000
# Cameras and their editors write one, and go on in a second where it is larger than 64 kB.
MAX_EXIF_SEGMENTS = 64
# A scan passes over the whole picture again. Ten are usual; these are twenty over 50 megapixels.
MAX_SCANNED_PIXELS = 10**9
# Beginning a scan costs as much as so many of its pixels.
SCAN_PIXELS = 10_000
# ITU-T T.81, B.2.3: the marker, the length, and the number of components that the length fits.
SCANS = (b"\xff\xda\0\x08\x01", b"\xff\xda\0\x0a\x02", b"\xff\xda\0\x0c\x03", b"\xff\xda\0\x0e\x04")
START_OF_SCAN = 0xDA


def check_structure(data: bytes) -> None:
    """Raises InvalidImage. What is merely broken is left to the reader to say."""
    if data.startswith(b"\xff\xd8\xff"):
        _within("parts before its first scan", _jpeg_parts(data), MAX_PARTS)
        _within("Exif segments", data.count(b"Exif"), MAX_EXIF_SEGMENTS)
    elif data.startswith(b"\x89PNG"):
        _within("chunks", _png_chunks(data), MAX_PARTS)
    elif data.startswith(b"GIF8"):
        _within("blocks before its first frame", _gif_blocks(data), MAX_PARTS)


def check_scans(data: bytes, pixels: int) -> None:
    """Of a JPEG that has so many pixels. Raises InvalidImage."""
    scans = sum(data.count(scan) for scan in SCANS)
    limit = MAX_SCANNED_PIXELS // max(pixels, SCAN_PIXELS)
    _within(f"scans of {pixels} pixels", scans, limit)


def _within(parts: str, count: int, limit: int) -> None:
    if count > limit:
        raise InvalidImage(f"A picture may have {limit} {parts}. Received: more.")


def _jpeg_parts(data: bytes) -> int:
    """Segments, and bytes that belong to none, up to the first scan; no more than are too many."""
    place = 2
    for parts in range(MAX_PARTS + 1):
        if place + 4 > len(data) or (data[place] == 0xFF and data[place + 1] == START_OF_SCAN):
            return parts
        if data[place] == 0xFF and data[place + 1] not in (0x00, 0xFF):
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        else:
            place += 1
    return MAX_PARTS + 1


def _png_chunks(data: bytes) -> int:
    place = 8
    for chunks in range(MAX_PARTS + 1):
        if place >= len(data) or data.startswith(b"IEND", place + 4):
            return chunks
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return MAX_PARTS + 1


def _gif_blocks(data: bytes) -> int:
    """Sub-blocks of extensions, and bytes between them, up to the first frame."""
    flags = data[10] if len(data) > 10 else 0
    place = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    inside = False
    for blocks in range(MAX_PARTS + 1):
        if place >= len(data) or (not inside and data[place : place + 1] in (b",", b";")):
            return blocks
        if inside:
            inside = data[place] != 0
            place += 1 + data[place]
        elif data[place : place + 1] == b"!":
            inside = True
            place += 2
        else:
            place += 1
    return MAX_PARTS + 1
