"""A JPEG without segments that its pixels do not need, or with the end marker that it lacks."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from service.imaging.limits.dimensions import MAX_PARTS
from service.imaging.limits.jpeg import frame_of

# ITU-T T.81, table B.1.
SOI, EOI, SOS, DQT, DHT, DAC, DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xCC, 0xDD
PROGRESSIVE = 0xC2
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, DAC}
NEEDED = FRAMES | {DQT, DHT, DAC, DRI}
# Segments of programs that change the pixels that are shown, and the least of their content.
SHOWN = {(0xE0, b"JFIF\0"): 14, (0xE1, b"Exif\0\0"): 14, (0xE2, b"ICC_PROFILE\0"): 15}
SHOWN |= {(0xEE, b"Adobe"): 12}
SEGMENT = struct.Struct(">BBH")
# Where a frame states its height and width; and what a block of coefficients takes at least.
SIZE, SIZE_AT = struct.Struct(">HH"), 5
LEAST_BITS, BITS_A_BYTE = 2, 8
COEFFICIENTS = 64
# What ends the data of a scan: a marker that is no restart or half of one, or a trailer's zeros.
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]|\xff\Z|\x00{64}", re.DOTALL)
# Put behind a scan that has all of its data, bytes are skipped. A scan that lacks some takes them.
PADDINGS = 3
FRACTION = 8
PADDING_BYTES = 128
RESTARTS = bytes(range(0xD0, 0xD8))
END = bytes([0xFF, EOI])


class _Segment(NamedTuple):
    """data: with the marker and the length, without the data of a scan."""

    code: int
    data: bytes
    end: int


def repairs(data: bytes) -> Iterator[bytes]:
    """Nothing that would be the file as it is."""
    segments, scan = _header(data)
    if scan:
        kept = [segment.data for segment in segments if _needed(segment)]
        if len(kept) < len(segments):
            yield b"\xff\xd8" + b"".join(kept) + data[scan:]


def _header(data: bytes) -> tuple[list[_Segment], int]:
    """The segments before the first scan, and its position; 0 where there is none."""
    segments: list[_Segment] = []
    position = 2
    for _ in range(MAX_PARTS):
        position = data.find(b"\xff", position)
        if position < 0 or position + SEGMENT.size > len(data):
            break
        _, code, length = SEGMENT.unpack_from(data, position)
        if code == SOS:
            return segments, position
        if code in (0, 0xFF, 1) or SOI <= code <= EOI or 0xD0 <= code < SOI:
            position += 1 if code == 0xFF else 2
            continue
        end = position + 2 + max(length, 2)
        segments.append(_Segment(code, data[position:end], end))
        position = end
    return segments, 0


def _needed(segment: _Segment) -> bool:
    content = segment.data[SEGMENT.size :]
    return segment.code in NEEDED or any(
        segment.code == code and content.startswith(name) and len(content) >= least
        for (code, name), least in SHOWN.items()
    )


def completed(data: bytes) -> bytes | None:
    """With an end marker, if nothing else is missing: every scan, and all of the last one.

    Decodes the pixels several times. Raises what Pillow raises.
    """
    end = _all_scans_end(data)
    if end is None:
        return None
    whole = data[:end]
    # At an eighth first, which is cheaper and mostly shows it, other than in a progressive image.
    first = () if frame_of(data)[0] == PROGRESSIVE else ((FRACTION, 1),)
    for fraction, paddings in (*first, (1, PADDINGS)):
        pixels = _digest(whole, fraction)
        for seed in range(paddings):
            if _digest(whole + _padding(seed), fraction) != pixels:
                return None
    return whole + END


def _padding(seed: int) -> bytes:
    """Bytes without a marker, then more behind each restart: one of them may be awaited."""
    random = np.random.default_rng(seed)
    parts = random.integers(1, 255, (1 + 2 * len(RESTARTS), PADDING_BYTES), np.uint8)
    first, *others = (bytes(part) for part in parts)
    restarts = (b"\xff" + bytes([code]) for code in 2 * RESTARTS)
    return first + b"".join(code + part for code, part in zip(restarts, others, strict=True))


def _digest(data: bytes, fraction: int) -> bytes:
    """Of the pixels, at that fraction of the size; a digest takes no memory."""
    image = JpegImageFile(io.BytesIO(data + END), "")
    image.draft(None, (image.width // fraction, image.height // fraction))
    return blake2b(image.tobytes()).digest()


def _all_scans_end(data: bytes) -> int | None:
    """Where the data of the last scan ends; None where there is an end marker, or where some bits
    of some coefficients have not been sent.
    """
    segments, position = _header(data)
    frame = next((segment for segment in segments if segment.code in FRAMES), None)
    if frame is None or not position or len(frame.data) < 10:
        return None
    height, width = SIZE.unpack_from(frame.data, SIZE_AT)
    # Or a short file would make several decoders fill up a large image.
    if BITS_A_BYTE * (len(data) - position) < LEAST_BITS * height * width // COEFFICIENTS:
        return None
    components = [frame.data[at] for at in range(10, len(frame.data) - 2, 3)]
    # Of each coefficient of each component, the lowest bit that has been sent.
    lowest = {component: [COEFFICIENTS] * COEFFICIENTS for component in components}
    end = position
    for _ in range(MAX_PARTS):
        if position + SEGMENT.size > len(data) or data[position] != 0xFF:
            break
        _, code, length = SEGMENT.unpack_from(data, position)
        if code == EOI:
            return None
        content = data[position + SEGMENT.size : position + 2 + length]
        position += 2 + length
        if code == SOS:
            _count(content, lowest, progressive=frame.code == PROGRESSIVE)
            found = SCAN_END.search(data, position)
            position = end = found.start() if found else len(data)
        elif code not in NEEDED and not 0xE0 <= code <= 0xFE:
            break
    complete = all(bit == 0 for bits in lowest.values() for bit in bits)
    return end if complete else None


def _count(scan: bytes, lowest: dict[int, list[int]], *, progressive: bool) -> None:
    if len(scan) < 4 or len(scan) < 4 + 2 * scan[0]:
        return
    first, last, bits = scan[1 + 2 * scan[0] :][:3]
    for at in range(scan[0]):
        of_component = lowest.get(scan[1 + 2 * at], [])
        band = range(first, min(last, COEFFICIENTS - 1) + 1) if progressive else range(COEFFICIENTS)
        for coefficient in band if of_component else ():
            of_component[coefficient] = bits & 15 if progressive else 0
