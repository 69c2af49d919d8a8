"""Refuses files that are made of so many parts that reading past them is work.

Pillow reads the parts of a header one by one, in Python. Photos have dozens of them, the largest
PNG has thousands; 20 MB have room for millions.
"""

from __future__ import annotations

import struct

import numpy as np
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import MARKER, JpegImageFile

from service.errors import InvalidImage
from service.imaging.limits.gif import TIFF, colors_bytes, first_directory

MAX_PARTS = 10_000
# Cameras and their editors write one, and go on in a second where it is larger than 64 kB.
MAX_EXIF_SEGMENTS = 64
# A scan passes over the whole image again. Ten are usual; these are twenty over 50 megapixels.
MAX_SCANNED_PIXELS = 10**9
# Beginning a scan costs as much as so many of its pixels.
SCAN_PIXELS = 10_000
# ITU-T T.81, B.2.3: the marker, the length, the number of components, which the length fits.
START_OF_SCAN, SCAN_BYTES, MAX_COMPONENTS = 0xDA, 5, 4
# Searched for scans at once: what a CPU's cache holds.
SEARCHED_BYTES = 2**18
# What has a length behind its marker, and is read or stepped over by it.
SEGMENTS = {code & 0xFF for code, (_, _, handler) in MARKER.items() if handler} - {START_OF_SCAN}
MARKED, EXIF = struct.Struct(">BBH"), b"Exif\0\0"
CHUNK = struct.Struct(">I4s")
# GIF89a, sections 18 and 20: of the screen, and of a frame on it.
GIF_EXTENTS = struct.Struct("<HHHHHH")
# Of a TIFF's first page; a raw photo with a map on it has a hundred.
MAX_ENTRIES = 4096
# Of a bitmap packed by runs, which Pillow unpacks in Python: pixel by pixel where a line ends
# early, and what does nothing operation by operation.
MAX_RUNS_PIXELS = 2**20
MAX_RUNS_BYTES = 2**17
# What a pixel takes at most, and what may follow the last one.
RUN_BYTES, RUNS_END_BYTES = 2, 1024


def check_structure(data: bytes) -> None:
    """Raises InvalidImage. What is merely broken is left to the reader to say."""
    if data.startswith(b"\xff\xd8\xff"):
        parts, exif = _jpeg_parts(data)
        _within("parts before its first scan", parts, MAX_PARTS)
        _within("Exif segments", exif, MAX_EXIF_SEGMENTS)
    elif data.startswith(b"\x89PNG"):
        _within("chunks", _png_chunks(data), MAX_PARTS)
    elif data.startswith(b"GIF8"):
        blocks, _ = _to_gif_frame(data)
        _within("blocks before its first frame", blocks, MAX_PARTS)
    elif data.startswith(TIFF):
        _within("entries in its directory", _tiff_entries(data), MAX_ENTRIES)


def check_work(image: ImageFile, data: bytes) -> None:
    """What its pixels will cost, beyond their number. Raises InvalidImage."""
    if isinstance(image, JpegImageFile):
        pixels = image.width * image.height
        limit = MAX_SCANNED_PIXELS // max(pixels, SCAN_PIXELS)
        _within(f"scans of {pixels} pixels", _jpeg_scans(data, limit), limit)
    elif image.tile and image.tile[0].codec_name == "bmp_rle":
        _within("pixels packed by runs", image.width * image.height, MAX_RUNS_PIXELS)
        # A line has an end, which takes as much as a pixel.
        limit = RUN_BYTES * (image.width + 1) * image.height + RUNS_END_BYTES
        runs_bytes = len(data) - image.tile[0].offset
        _within("bytes of packed runs", runs_bytes, min(limit, MAX_RUNS_BYTES))


def _within(parts: str, count: int, limit: int) -> None:
    if count > limit:
        raise InvalidImage(f"An image may have {limit} {parts}. Received: more.")


def _jpeg_parts(data: bytes) -> tuple[int, int]:
    """Segments, and bytes that belong to none, up to the first scan; and segments of Exif.

    No more than are too many. Seen as Pillow sees them, which takes what is broken too.
    """
    place, exif = 2, 0
    for parts in range(MAX_PARTS + 1):
        if place + 4 > len(data) or exif > MAX_EXIF_SEGMENTS:
            return parts, exif
        first, second, length = MARKED.unpack_from(data, place)
        if first != 0xFF:
            place += 1
        elif second in SEGMENTS:
            exif += data.startswith(EXIF, place + 4)
            place += 2 + max(length, 2)
        elif second == START_OF_SCAN:
            return parts, exif
        else:
            place += 1 if second == 0xFF else 2
    return MAX_PARTS + 1, exif


def _jpeg_scans(data: bytes, limit: int) -> int:
    """Beginnings of scans, wherever they lie; not many more than are too many."""
    values = np.frombuffer(data, np.uint8)
    scans = 0
    for start in range(0, len(data), SEARCHED_BYTES):
        part = values[start : start + SEARCHED_BYTES + SCAN_BYTES - 1]
        ends = len(part) - SCAN_BYTES + 1
        marker, scan, high, low, components = (part[at : at + ends] for at in range(SCAN_BYTES))
        found = (marker == 0xFF) & (scan == START_OF_SCAN) & (high == 0)
        found &= (low == 6 + 2 * components) & (components - 1 < MAX_COMPONENTS)
        scans += int(np.count_nonzero(found))
        if scans > limit:
            break
    return scans


def _png_chunks(data: bytes) -> int:
    place = 8
    for chunks in range(MAX_PARTS + 1):
        if place + 8 > len(data):
            return chunks
        length, kind = CHUNK.unpack_from(data, place)
        if kind == b"IEND":
            return chunks
        place += 12 + length
    return MAX_PARTS + 1


def gif_size(data: bytes) -> tuple[int, int]:
    """Width and height of its screen, or of its first frame where that reaches beyond. Its reader
    makes room for that frame before it says how large it is.
    """
    _, place = _to_gif_frame(data)
    stated = data[6:10] + data[place + 1 : place + 9]
    if len(stated) < GIF_EXTENTS.size:
        return 0, 0
    width, height, left, top, frame_width, frame_height = GIF_EXTENTS.unpack(stated)
    return max(width, left + frame_width), max(height, top + frame_height)


def _to_gif_frame(data: bytes) -> tuple[int, int]:
    """Sub-blocks of extensions, and bytes between them, up to the first frame; and its place."""
    flags = data[10] if len(data) > 10 else 0
    place = 13 + colors_bytes(flags)
    inside = False
    for blocks in range(MAX_PARTS + 1):
        if place >= len(data) or (not inside and data[place : place + 1] in (b",", b";")):
            return blocks, place
        if inside:
            inside = data[place] != 0
            place += 1 + data[place]
        elif data[place : place + 1] == b"!":
            inside = True
            place += 2
        else:
            place += 1
    return MAX_PARTS + 1, place


def _tiff_entries(data: bytes) -> int:
    """Of its first directory, as many as it says."""
    try:
        order, big, place = first_directory(data)
        (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, min(place, len(data)))
    except struct.error:
        return 0
    return int(entries)
