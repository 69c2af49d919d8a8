"""A WebP without chunks that are cut off or unknown (RFC 9649), where all of its image is there."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from service.imaging.limits.dimensions import MAX_PARTS

RIFF_BYTES = 12
CHUNK = struct.Struct("<4sI")
IMAGE = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
# Chunks that are announced by a flag of VP8X, which has to go with them.
FLAGS = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}
EXTENDED = b"VP8X"


def repairs(data: bytes) -> Iterator[bytes]:
    """Nothing where a part of the image is cut off, or where nothing would be dropped."""
    kept: list[bytearray] = []
    kinds = set()
    position = RIFF_BYTES
    for _ in range(MAX_PARTS):
        if position + CHUNK.size > len(data):
            break
        kind, size = CHUNK.unpack_from(data, position)
        content = data[position + CHUNK.size : position + CHUNK.size + size]
        position += CHUNK.size + size + size % 2
        if len(content) < size:
            if kind in IMAGE or kind == EXTENDED:
                return
            continue
        if kind in IMAGE or kind in FLAGS or kind == EXTENDED:
            kinds.add(kind)
            kept.append(bytearray(CHUNK.pack(kind, size) + content + bytes(size % 2)))
    for chunk in kept:
        if chunk.startswith(EXTENDED) and len(chunk) > CHUNK.size:
            for kind, flag in FLAGS.items():
                chunk[CHUNK.size] &= 0xFF if kind in kinds else ~flag & 0xFF
    body = b"WEBP" + b"".join(kept)
    repaired = b"RIFF" + struct.pack("<I", len(body)) + body
    if kinds & set(IMAGE) and repaired != data:
        yield repaired
