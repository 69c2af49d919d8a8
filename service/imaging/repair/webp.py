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
EXTENDED, NAME = b"VP8X", b"WEBP"


def repairs(data: bytes) -> Iterator[bytes]:
    """Nothing where a part of the image is cut off, or where nothing would be dropped."""
    kept: list[bytes | memoryview] = []
    kinds = set()
    position, view = RIFF_BYTES, memoryview(data)
    for _ in range(MAX_PARTS):
        if position + CHUNK.size > len(data):
            break
        kind, size = CHUNK.unpack_from(data, position)
        end = position + CHUNK.size + size
        if end > len(data):
            if kind in IMAGE or kind == EXTENDED:
                return
        elif kind in IMAGE or kind in FLAGS or kind == EXTENDED:
            kinds.add(kind)
            kept.append(view[position:end])
            kept.append(bytes(size % 2))
        position = end + size % 2
    absent = sum(flag for kind, flag in FLAGS.items() if kind not in kinds)
    for index, chunk in enumerate(kept):
        if bytes(chunk[:4]) == EXTENDED and len(chunk) > CHUNK.size:
            flags = bytes([chunk[CHUNK.size] & ~absent])
            kept[index] = bytes(chunk[: CHUNK.size]) + flags + bytes(chunk[CHUNK.size + 1 :])
    size = sum(len(chunk) for chunk in kept) + len(NAME)
    repaired = b"".join([b"RIFF", struct.pack("<I", size), NAME, *kept])
    if kinds & set(IMAGE) and repaired != data:
        yield repaired
