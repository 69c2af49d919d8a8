"""Limit of a PNG: its chunks. Frames are limited by `dimensions.check_header_frames`."""

from __future__ import annotations

import struct

from service.imaging.limits.dimensions import MAX_PARTS, check_part_count

# PNG specification, section 5: the signature, then chunks of a length, a type, content, a CRC.
SIGNATURE_BYTES, CRC_BYTES = 8, 4
CHUNK = struct.Struct(">I4s")


def check_chunks(data: bytes) -> None:
    """Raises InvalidImage."""
    check_part_count("chunks", _count_chunks(data), MAX_PARTS)


def _count_chunks(data: bytes) -> int:
    """Chunks before IEND; stops at one too many."""
    position = SIGNATURE_BYTES
    for chunks in range(MAX_PARTS + 1):
        if position + CHUNK.size > len(data):
            return chunks
        length, kind = CHUNK.unpack_from(data, position)
        if kind == b"IEND":
            return chunks
        position += CHUNK.size + length + CRC_BYTES
    return MAX_PARTS + 1
