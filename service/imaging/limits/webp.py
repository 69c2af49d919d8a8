"""Limit of a WebP (RFC 9649): its frames."""

from __future__ import annotations

import struct

from service.imaging.limits.dimensions import MAX_PARTS, check_frame_count, too_many_parts

# RFC 9649, section 2: "RIFF", the number of bytes that follow, "WEBP"; then chunks of a name, a
# length, and content that is padded to an even length.
RIFF_BYTES, SIZE_END = 12, 8
CHUNK = struct.Struct("<4sI")
FRAME = b"ANMF"


def check_frames(data: bytes, max_frames: int) -> None:
    """Raises ImageTooLarge, or InvalidImage where too many chunks had to be read to count them."""
    check_frame_count(_count_frames(data, max_frames), max_frames)


def _count_frames(data: bytes, max_frames: int) -> int:
    """Up to the end that the file states; stops at one too many. Raises InvalidImage."""
    end = min(len(data), SIZE_END + int.from_bytes(data[4:SIZE_END], "little"))
    position, frames = RIFF_BYTES, 0
    for _ in range(MAX_PARTS + max_frames):
        if position + CHUNK.size > end or frames > max_frames:
            return frames
        kind, size = CHUNK.unpack_from(data, position)
        frames += kind == FRAME
        position += CHUNK.size + size + size % 2
    raise too_many_parts(MAX_PARTS + max_frames)
