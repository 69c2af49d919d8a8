"""Limits of a JPEG (ITU-T T.81): segments of its header, segments of Exif, scans."""

from __future__ import annotations

import struct

import numpy as np
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import MARKER

from service.imaging.limits.dimensions import MAX_PARTS, check_part_count

# Cameras and editors write one; Exif of more than 64 kB continues in a second.
MAX_EXIF_SEGMENTS = 64
# Each scan passes over the whole image. Ten scans are usual; this allows 20 over 50 megapixels.
MAX_SCANNED_PIXELS = 10**9
# Beginning a scan costs as much as this many of its pixels.
SCAN_PIXELS = 10_000
# T.81, B.2.3: the marker, the two bytes of the length, which follows from the number of
# components, and that number.
START_OF_SCAN, SCAN_BYTES, MAX_COMPONENTS = 0xDA, 5, 4
# As a number of 16 bits, the first byte the lower.
SCAN_MARKER = START_OF_SCAN << 8 | 0xFF
# Searched for scans in one step: as much as a CPU's cache holds.
SEARCHED_BYTES = 2**18
# Markers that a length follows, by which Pillow reads the segment or skips it.
SEGMENTS = {code & 0xFF for code, (_, _, handler) in MARKER.items() if handler} - {START_OF_SCAN}
# Table B.1, and JPEG-LS.
FRAMES = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
MARKED, EXIF = struct.Struct(">BBH"), b"Exif\0\0"


def check_segments(data: bytes) -> None:
    """Limits the parts of the header, and its segments of Exif. Raises InvalidImage."""
    parts, exif = _count_segments(data)
    check_part_count("parts before its first scan", parts, MAX_PARTS)
    check_part_count("Exif segments", exif, MAX_EXIF_SEGMENTS)


def check_scans(image: ImageFile, data: bytes) -> None:
    """Limits scans times pixels. Raises InvalidImage."""
    pixels = image.width * image.height
    limit = MAX_SCANNED_PIXELS // max(pixels, SCAN_PIXELS)
    check_part_count(f"scans of {pixels} pixels", _count_scans(data, limit), limit)


def _count_segments(data: bytes) -> tuple[int, int]:
    """Up to the first scan: segments and bytes outside of them, and segments of Exif.

    Walks the file as Pillow does, which accepts bytes between segments. Stops at one too many.
    """
    position, exif = 2, 0
    for parts in range(MAX_PARTS + 1):
        if position + 4 > len(data) or exif > MAX_EXIF_SEGMENTS:
            return parts, exif
        first, second, length = MARKED.unpack_from(data, position)
        if first != 0xFF:
            position += 1
        elif second in SEGMENTS:
            exif += data.startswith(EXIF, position + 4)
            position += 2 + max(length, 2)
        elif second == START_OF_SCAN:
            return parts, exif
        else:
            position += 1 if second == 0xFF else 2
    return MAX_PARTS + 1, exif


def frame_of(data: bytes) -> tuple[int, int]:
    """The marker of the frame and the bits of its samples; (0, 0) where none precedes a scan."""
    position = 2
    for _ in range(MAX_PARTS):
        position = data.find(b"\xff", position)
        if position < 0 or position + MARKED.size >= len(data):
            break
        _, code, length = MARKED.unpack_from(data, position)
        if code in FRAMES:
            return code, data[position + MARKED.size]
        if code == START_OF_SCAN:
            break
        if code in SEGMENTS:
            position += 2 + max(length, 2)
        else:
            position += 1 if code == 0xFF else 2
    return 0, 0


def _count_scans(data: bytes, limit: int) -> int:
    """Starts of scans, anywhere in the file: libjpeg skips what it does not expect up to the next
    marker. Stops at the first window that exceeds `limit`. Most files have no more of the marker
    than that, which is counted in a quarter of the time.
    """
    if (markers := _count_markers(data)) <= limit:
        return markers
    values = np.frombuffer(data, np.uint8)
    scans = 0
    for start in range(0, len(data), SEARCHED_BYTES):
        window = values[start : start + SEARCHED_BYTES + SCAN_BYTES - 1]
        ends = len(window) - SCAN_BYTES + 1
        marker, scan, high, low, components = (window[at : at + ends] for at in range(SCAN_BYTES))
        found = (marker == 0xFF) & (scan == START_OF_SCAN) & (high == 0)
        found &= (low == 6 + 2 * components) & (components - 1 < MAX_COMPONENTS)
        scans += int(np.count_nonzero(found))
        if scans > limit:
            break
    return scans


def _count_markers(data: bytes) -> int:
    """Times that START_OF_SCAN's two bytes occur, in scans or elsewhere."""
    found = 0
    for offset in (0, 1):
        pairs = np.frombuffer(data, "<u2", (len(data) - offset) // 2, offset)
        for start in range(0, len(pairs), SEARCHED_BYTES // 2):
            window = pairs[start : start + SEARCHED_BYTES // 2]
            found += int(np.count_nonzero(window == SCAN_MARKER))
    return found
