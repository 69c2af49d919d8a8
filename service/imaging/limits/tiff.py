"""Limits of a TIFF (TIFF 6.0, BigTIFF): entries of its first directory, and its pages."""

from __future__ import annotations

import struct

from service.imaging.limits.dimensions import check_frame_count, check_part_count

# Of the first page. A raw photo with a map has a hundred.
MAX_ENTRIES = 4096


def check_entries(data: bytes) -> None:
    """Limits the entries that the first directory says it has. Raises InvalidImage."""
    check_part_count("entries in its directory", _count_entries(data), MAX_ENTRIES)


def check_frames(data: bytes, max_frames: int) -> None:
    """Limits pages. Raises ImageTooLarge."""
    check_frame_count(_count_directories(data, max_frames), max_frames)


def _count_entries(data: bytes) -> int:
    try:
        order, big, position = _first_directory(data)
        # struct raises OverflowError for a position of 2**63 or more.
        position = min(position, len(data))
        (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, position)
    except struct.error:
        return 0
    return int(entries)


def _count_directories(data: bytes, max_frames: int) -> int:
    """Follows the chain of directories, each of which states the position of the next, and stops
    at one too many. A chain may lead back to one of its directories; it ends there.
    """
    seen: set[int] = set()
    try:
        order, big, position = _first_directory(data)
        count, entry_bytes, following = ("Q", 20, "Q") if big else ("H", 12, "I")
        while 0 < position < len(data) and position not in seen and len(seen) <= max_frames:
            seen.add(position)
            (entries,) = struct.unpack_from(order + count, data, position)
            position += struct.calcsize(count) + entries * entry_bytes
            if position >= len(data):
                break
            (position,) = struct.unpack_from(order + following, data, position)
    except struct.error:
        pass
    return len(seen)


def _first_directory(data: bytes) -> tuple[str, bool, int]:
    """The byte order as `struct` names it, whether the file is a BigTIFF, and the position of the
    first directory.

    Raises struct.error where the file ends before it states the position.
    """
    order, big = "<" if data.startswith(b"II") else ">", 43 in data[2:4]
    (position,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    return order, big, position
