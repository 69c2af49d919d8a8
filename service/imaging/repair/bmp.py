"""A BMP whose last row lacks bytes that only fill it up to a multiple of four."""

from __future__ import annotations

import struct
from collections.abc import Iterator

# BITMAPFILEHEADER's offset of the pixels; and BITMAPINFOHEADER, whose fields later ones have too.
OFFSET, FIELDS = 10, struct.Struct("<IiiHHI")
HEADER, LEAST_HEADER, UNCOMPRESSED = 14, 40, (0, 3)


def repairs(data: bytes) -> Iterator[bytes]:
    """Nothing where a pixel is missing, or no byte."""
    if len(data) < HEADER + LEAST_HEADER:
        return
    (offset,) = struct.unpack_from("<I", data, OFFSET)
    size, width, height, _, bits, packed = FIELDS.unpack_from(data, HEADER)
    if size < LEAST_HEADER or packed not in UNCOMPRESSED or width <= 0:
        return
    used = (width * bits + 7) // 8
    row = (used + 3) // 4 * 4
    missing = offset + row * abs(height) - len(data)
    if 0 < missing <= row - used:
        yield data + bytes(missing)
