"""A PNG without what is broken and not needed for its pixels (PNG specification, 5 and 11)."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from service.imaging.limits.dimensions import MAX_PARTS

SIGNATURE_BYTES, CRC_BYTES = 8, 4
CHUNK = struct.Struct(">I4s")
NAME = re.compile(rb"[A-Za-z]{4}")
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
MAX_NAME_BYTES = 79
XMP = b"XML:com.adobe.xmp\0"
# Of transparency, by the color type; a palette's is up to as long as the palette.
TRANSPARENCY_BYTES = {0: 2, 2: 6}
COLOR_TYPE, PALETTE = 25, 3


class _Chunk(NamedTuple):
    """whole: with its length, its name and its sum."""

    kind: bytes
    content: memoryview
    whole: memoryview
    valid: bool


def repairs(data: bytes) -> Iterator[bytes]:
    """First the file without broken chunks, then without every chunk that pixels do not need.

    Nothing that would be the file as it is. Chunks that pixels need are kept as they are.
    """
    chunks = list(_chunks(data))
    kept = [chunk for chunk in chunks if chunk.valid or chunk.kind in CRITICAL]
    kept = _in_one_run(kept)
    if len(kept) < len(chunks):
        yield _file(data, kept)
    needed = [chunk for chunk in kept if _needed(chunk, data)]
    if len(needed) < len(kept):
        yield _file(data, needed)


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Up to IEND. Behind a chunk whose length is wrong it goes on at the next critical one."""
    position, view = SIGNATURE_BYTES, memoryview(data)
    for _ in range(MAX_PARTS):
        if position + CHUNK.size > len(data):
            return
        length, kind = CHUNK.unpack_from(data, position)
        start, end = position + CHUNK.size, position + CHUNK.size + length
        crc = view[end : end + CRC_BYTES]
        valid = NAME.fullmatch(kind) is not None
        if kind not in CRITICAL:
            # Not for what pixels need: a wrong sum loses none of them.
            valid = valid and bytes(crc) == _crc(kind, view[start:end])
        yield _Chunk(kind, view[start:end], view[position : end + CRC_BYTES], valid)
        if kind == b"IEND":
            return
        position = end + CRC_BYTES
        if not valid and not NAME.fullmatch(data[position + 4 : position + 8]):
            found = _next_critical(data, start)
            if found is None:
                return
            position = found - 4


def _next_critical(data: bytes, start: int) -> int | None:
    """The place of the name of the next chunk that pixels need.

    A file may be long, so each name is only looked for where it can stand: a palette before the
    pixels of an image that has one, the end behind them.
    """
    pixels = data.find(b"IDAT", start)
    if pixels < 0:
        end = data.find(b"IEND", start)
        return end if end >= 0 else None
    before = b"PLTE" if data[COLOR_TYPE : COLOR_TYPE + 1] == bytes([PALETTE]) else None
    if data[SIGNATURE_BYTES + 4 : SIGNATURE_BYTES + 8] != b"IHDR":
        before = b"IHDR"
    place = -1 if before is None else data.find(before, start, pixels)
    return place if place >= 0 else pixels


def _crc(kind: bytes, content: memoryview) -> bytes:
    return struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def _in_one_run(chunks: list[_Chunk]) -> list[_Chunk]:
    """Without ancillary chunks between those of the pixels, which have to follow each other."""
    places = [place for place, chunk in enumerate(chunks) if chunk.kind == b"IDAT"]
    if not places:
        return chunks
    first, last = places[0], places[-1]
    return [
        chunk
        for place, chunk in enumerate(chunks)
        if not first < place < last or chunk.kind in CRITICAL
    ]


def _needed(chunk: _Chunk, data: bytes) -> bool:
    if chunk.kind == b"tRNS":
        color_type, size = data[COLOR_TYPE], len(chunk.content)
        return size == TRANSPARENCY_BYTES.get(color_type) or (
            color_type == PALETTE and 1 <= size <= 256
        )
    if chunk.kind == b"iCCP":
        # A name, and how the profile is compressed: there is one way, 0.
        name_bytes = bytes(chunk.content[: MAX_NAME_BYTES + 1]).find(0)
        method = bytes(chunk.content[name_bytes + 1 : name_bytes + 2])
        return name_bytes > 0 and method == b"\0"
    xmp = chunk.kind == b"iTXt" and bytes(chunk.content[: len(XMP)]) == XMP
    return chunk.kind in CRITICAL or chunk.kind == b"eXIf" or xmp


def _file(data: bytes, chunks: list[_Chunk]) -> bytes:
    return b"".join([data[:SIGNATURE_BYTES], *(chunk.whole for chunk in chunks)])
