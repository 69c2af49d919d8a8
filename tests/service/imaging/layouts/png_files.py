"""Writes a PNG of any color type, depth and order of its rows: PNG specification, 7 and 8."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.service.images import png_chunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
WHOLE = ((0, 0, 1, 1),)
# Adam7: the first column and row of each pass, and the steps.
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def written(
    samples: npt.NDArray[Any],
    color_type: int,
    depth: int,
    *,
    interlaced: bool = False,
    chunks: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    """samples: [H, W, channels], up to 2**depth - 1. chunks: before the pixels."""
    rows = b""
    for left, top, across, down in PASSES if interlaced else WHOLE:
        part = samples[top::down, left::across]
        rows += b"".join(b"\0" + row for row in _rows(part, depth)) if part.size else b""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced)
    parts = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return SIGNATURE + b"".join(png_chunk(*part) for part in parts)


def _rows(samples: npt.NDArray[Any], depth: int) -> list[bytes]:
    flat = samples.reshape(len(samples), -1)
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in flat]
    bits = (flat[:, :, None] >> np.arange(depth - 1, -1, -1) & 1).reshape(len(flat), -1)
    return [np.packbits(row.astype(np.uint8)).tobytes() for row in bits]
