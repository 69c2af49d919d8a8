"""How many frames, pages or images a file has: by its structure, with none of them decoded."""

from __future__ import annotations

import struct

from PIL import Image
from PIL.TiffImagePlugin import PREFIXES

from service.errors import ImageTooLarge, InvalidImage
from service.imaging.limits.isobmff import count_samples

MAX_FRAMES = 1000
# Parts that are not frames and are stepped over: so many, and in a GIF, whose frames are made of
# blocks too, one for each 128 bytes; encoders use 256.
FREE_PARTS = 10_000
BYTES_A_BLOCK = 128
TIFF = tuple(PREFIXES)
# What Pillow takes for an AVIF before it looks further.
AVIF = (b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypmsf1")
# GIF89a, sections 20, 23 to 27.
GIF_IMAGE, GIF_EXTENSION, GIF_END = b",!;"


def check_frames(data: bytes, max_frames: int) -> None:
    """Before its reader sees the file. Raises ImageTooLarge, or InvalidImage where they lie among
    too many other parts to be counted.
    """
    if data.startswith(b"GIF8"):
        _within(_gif(data, max_frames), max_frames)
    elif data.startswith(b"WEBP", 8):
        _within(_webp(data, max_frames), max_frames)
    elif data.startswith(TIFF):
        _within(_tiff(data, max_frames), max_frames)
    elif data.startswith(AVIF, 4):
        _within(count_samples(data), max_frames)


def check_index(image: Image.Image, max_frames: int) -> None:
    """What the header said, where it says so: PNG's animation control, the index of an MPO.

    A reader that would have to count has a property in its place. Raises ImageTooLarge.
    """
    _within(vars(image).get("n_frames", 1), max_frames)


def _within(frames: int, most: int) -> None:
    if frames > most:
        raise ImageTooLarge(
            f"An image may have {most} frames, pages or images. Received: {frames} or more"
        )


def _gif(data: bytes, most: int) -> int:
    flags = data[10] if len(data) > 10 else 0
    place = 13 + colors_bytes(flags)
    frames = 0
    most_parts = FREE_PARTS + len(data) // BYTES_A_BLOCK
    parts = iter(range(most_parts))
    try:
        for _ in parts:
            kind = data[place]
            if kind == GIF_END or frames > most:
                return frames
            if kind == GIF_IMAGE:
                frames += 1
                place += 11 + colors_bytes(data[place + 9])
            elif kind == GIF_EXTENSION:
                place += 2
            else:
                place += 1
                continue
            for _ in parts:
                length = data[place]
                place += 1 + length
                if length == 0:
                    break
    except IndexError:
        return frames
    raise _too_many(most_parts)


def colors_bytes(flags: int) -> int:
    """Of a GIF's table of colors; 0 where the flags say that there is none."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes, most: int) -> int:
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    place, frames = 12, 0
    for _ in range(FREE_PARTS + most):
        if place + 8 > end or frames > most:
            return frames
        kind, size = struct.unpack_from("<4sI", data, place)
        frames += kind == b"ANMF"
        place += 8 + size + size % 2
    raise _too_many(FREE_PARTS + most)


def _tiff(data: bytes, most: int) -> int:
    """Directories, each of which says where the next is; that may be where one was already."""
    seen: set[int] = set()
    try:
        order, big, place = first_directory(data)
        count, entry_bytes, offset = ("Q", 20, "Q") if big else ("H", 12, "I")
        while 0 < place < len(data) and place not in seen and len(seen) <= most:
            seen.add(place)
            (entries,) = struct.unpack_from(order + count, data, place)
            place += struct.calcsize(count) + entries * entry_bytes
            place = struct.unpack_from(order + offset, data, place)[0] if place < len(data) else 0
    except struct.error:
        pass
    return len(seen)


def first_directory(data: bytes) -> tuple[str, bool, int]:
    """A TIFF's byte order as `struct` names it, whether it is a BigTIFF, and where it begins.

    Raises struct.error where the file ends before that.
    """
    order, big = "<" if data.startswith(b"II") else ">", 43 in data[2:4]
    (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    return order, big, place


def _too_many(parts: int) -> InvalidImage:
    return InvalidImage(f"An image of this size may have {parts} parts. Received: more.")
