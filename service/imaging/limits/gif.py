"""Limits of a GIF (GIF89a): blocks before its first frame, its frames, and its size."""

from __future__ import annotations

import struct

from service.imaging.limits.dimensions import (
    MAX_PARTS,
    check_extent,
    check_frame_count,
    check_part_count,
    too_many_parts,
)

# GIF89a, sections 20, 23 to 27: the first byte of an image, of an extension and of the trailer.
IMAGE, EXTENSION, TRAILER = b",!;"
# Sections 17 and 18: the header and the logical screen, whose flags describe the color table.
SCREEN_BYTES, FLAGS = 13, 10
# Sections 18 and 20: the size of the screen; the position and size of a frame on it.
EXTENTS = struct.Struct("<HHHHHH")
# The pixels of a frame are blocks too, which encoders fill with up to 256 bytes: a file may have
# one part for each 128 bytes beside the free ones.
BYTES_PER_PART = 128


def check_blocks(data: bytes) -> None:
    """Limits what comes before the first frame. Raises InvalidImage."""
    blocks, _ = _find_frame(data)
    check_part_count("blocks before its first frame", blocks, MAX_PARTS)


def check_frames(data: bytes, max_frames: int) -> None:
    """Raises ImageTooLarge, or InvalidImage where too many parts had to be read to count them."""
    check_frame_count(_count_frames(data, max_frames), max_frames)


def check_size(data: bytes, max_pixels: int) -> None:
    """Raises ImageTooLarge.

    Pillow allocates the first frame while it reads the header, before a size can be asked for.
    Whether the palette is grey is not known yet; so one channel is counted.
    """
    check_extent(size_of(data), "GIF", 1, file_bytes=len(data), max_pixels=max_pixels)


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height in pixels: of the screen, or up to the end of the first frame where that
    lies beyond it. (0, 0) where the file ends before it states them.
    """
    _, position = _find_frame(data)
    stated = data[6:10] + data[position + 1 : position + 9]
    if len(stated) < EXTENTS.size:
        return 0, 0
    width, height, left, top, frame_width, frame_height = EXTENTS.unpack(stated)
    return max(width, left + frame_width), max(height, top + frame_height)


def _find_frame(data: bytes) -> tuple[int, int]:
    """Sub-blocks of extensions, and bytes outside of blocks, before the first frame; and the
    position of that frame. Stops at one too many.
    """
    position = _first_block(data)
    inside = False
    for blocks in range(MAX_PARTS + 1):
        if position >= len(data) or (not inside and data[position] in (IMAGE, TRAILER)):
            return blocks, position
        if inside:
            inside = data[position] != 0
            position += 1 + data[position]
        elif data[position] == EXTENSION:
            inside = True
            position += 2
        else:
            position += 1
    return MAX_PARTS + 1, position


def _count_frames(data: bytes, max_frames: int) -> int:
    """Stops at one too many. Raises InvalidImage."""
    position = _first_block(data)
    frames = 0
    max_parts = MAX_PARTS + len(data) // BYTES_PER_PART
    parts = iter(range(max_parts))
    try:
        for _ in parts:
            kind = data[position]
            if kind == TRAILER or frames > max_frames:
                return frames
            if kind == IMAGE:
                frames += 1
                position += 11 + _color_table_bytes(data[position + 9])
            elif kind == EXTENSION:
                position += 2
            else:
                position += 1
                continue
            # The sub-blocks of an image or an extension, up to an empty one.
            for _ in parts:
                length = data[position]
                position += 1 + length
                if length == 0:
                    break
    except IndexError:
        return frames
    raise too_many_parts(max_parts)


def _first_block(data: bytes) -> int:
    """Its position, behind the global color table."""
    flags = data[FLAGS] if len(data) > FLAGS else 0
    return SCREEN_BYTES + _color_table_bytes(flags)


def _color_table_bytes(flags: int) -> int:
    """0 where the flags say that there is no table, whatever size they state."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
