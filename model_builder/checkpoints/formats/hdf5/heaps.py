"""The global heaps of HDF5 files, where strings of any length are kept.

libhdf5 does not end where an object in a heap states a size that leads nowhere.
Source: HDF5 File Format Specification, version 3.0, sections II.A and III.E.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import IO

from model_builder.errors import ConversionFailed

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# The least that may precede it; otherwise twice this, and so on.
USER_BLOCK_BYTES = 512
# Where the superblock states the bytes of addresses and of lengths, by its version.
SIZES_AT = {0: 13, 1: 13, 2: 9, 3: 9}
EIGHT_EACH = b"\x08\x08"
# Signature, version 1, three bytes of zero; the size follows.
HEAP = b"GCOL\x01\0\0\0"
HEADER_BYTES = OBJECT_BYTES = 16
ALIGNMENT = 8


def is_hdf5(path: Path) -> bool:
    """By its signature, which a block of any content may precede."""
    with path.open("rb") as file:
        at = 0
        while found := file.read(len(SIGNATURE)):
            if found == SIGNATURE:
                return True
            at = 2 * at or USER_BLOCK_BYTES
            file.seek(at)
    return False


def check_heaps(file: IO[bytes], name: str) -> int:
    """Bytes of the largest heap. name: the file's. Raises ConversionFailed where one is broken."""
    if file.seek(0, os.SEEK_END) == 0:
        return 0
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _check(data, name)


def _check(data: mmap.mmap, name: str) -> int:
    if data[: len(SIGNATURE)] == SIGNATURE:
        version = data[len(SIGNATURE) : len(SIGNATURE) + 1]
        at = SIZES_AT.get(int.from_bytes(version, "little"), len(data))
        if data[at : at + 2] != EIGHT_EACH:
            raise ConversionFailed(f"{name} is HDF5 whose addresses or lengths are not of 8 bytes")
    largest, at = 0, data.find(HEAP)
    while at >= 0:
        stated = _length(data, at + len(HEAP))
        if not _ends(data, at, stated):
            raise ConversionFailed(
                f"{name} is not an HDF5 weights file of Keras: the heap at byte {at} is broken"
            )
        largest = max(largest, min(stated, len(data)))
        at = data.find(HEAP, at + 1)
    return largest


def _ends(data: mmap.mmap, at: int, heap_bytes: int) -> bool:
    """Whether the objects of a heap follow each other up to its end."""
    place = HEADER_BYTES
    while place + OBJECT_BYTES <= heap_bytes:
        if at + place + OBJECT_BYTES > len(data):
            return False
        size = _length(data, at + place + ALIGNMENT)
        if data[at + place : at + place + 2] != b"\0\0":
            size = OBJECT_BYTES + -(-size // ALIGNMENT) * ALIGNMENT
        # The object 0 is what is free, with its header.
        if size < OBJECT_BYTES or place + size > heap_bytes:
            return False
        place += size
    return True


def _length(data: mmap.mmap, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")
