"""AVIF files of boxes that state large numbers. None has an image."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tests.service.images import box

IMAGE = box(b"ftyp", b"avif\0\0\0\0avifmif1miaf")
FILM = box(b"ftyp", b"avis\0\0\0\0avisavifmif1miaf")


def full_box(kind: bytes, version: int, content: bytes, *, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags) + content)


def avif_meta(*boxes: bytes) -> bytes:
    handler = full_box(b"hdlr", 0, b"\0\0\0\0pict" + bytes(13))
    primary = full_box(b"pitm", 0, struct.pack(">H", 1))
    return IMAGE + full_box(b"meta", 0, handler + primary + b"".join(boxes))


def avif_items(count: int, *, wide: bool = False) -> bytes:
    """`count` items in an `iinf` box. wide: with a count and IDs of four bytes."""
    number = "I" if wide else "H"
    named = (
        full_box(b"infe", 3 if wide else 2, struct.pack(f">{number}H4sx", item, 0, b"av01"))
        for item in range(1, count + 1)
    )
    return avif_meta(
        full_box(b"iinf", int(wide), struct.pack(f">{number}", count) + b"".join(named))
    )


def avif_extents(counts: Sequence[int], *, version: int = 0, sizes: int = 0) -> bytes:
    """Items in an `iloc` box. counts: the number of extents of each. sizes: four bits each, the
    bytes of an extent's offset, of its length, of an item's base offset, of an extent's index.
    """
    number = "I" if version == 2 else "H"
    offset, length, base, index = (sizes >> bits & 15 for bits in (12, 8, 4, 0))
    extent = bytes(offset + length + (index if version else 0))
    locations = (
        struct.pack(f">{number}", item)
        + bytes((2 if version else 0) + 2 + base)
        + struct.pack(">H", count)
        + extent * count
        for item, count in enumerate(counts, start=1)
    )
    head = struct.pack(f">H{number}", sizes, len(counts))
    return avif_meta(full_box(b"iloc", version, head + b"".join(locations)))


def avif_references(lists: Sequence[int], *, version: int = 0) -> bytes:
    """References in an `iref` box. lists: the number of items that each item refers to."""
    number = "I" if version else "H"
    references = (
        box(
            b"dimg",
            struct.pack(f">{number}H", item, count)
            + struct.pack(f">{count}{number}", *range(count)),
        )
        for item, count in enumerate(lists, start=1)
    )
    return avif_meta(full_box(b"iref", version, b"".join(references)))


def avif_copies(
    items: int,
    copies: int,
    property_bytes: int,
    *,
    kind: bytes = b"uuid",
    version: int = 0,
    wide: bool = False,
    others: int = 0,
    named: int = 1,
) -> bytes:
    """`items` items, each associated with one property `copies` times. wide: with indices of two
    bytes. others: the number of empty properties before it. named: its index, from 1.
    """
    number = "I" if version else "H"
    owned = (struct.pack(">H", 0x8000 | named) if wide else bytes([0x80 | named])) * copies
    owners = b"".join(
        struct.pack(f">{number}B", item, copies) + owned for item in range(1, items + 1)
    )
    properties = box(b"ipco", box(kind, b"") * others + box(kind, bytes(property_bytes)))
    # Only the lowest bit of the flags has a meaning: the size of an index.
    flags = 0x10002 | wide
    owned_by = full_box(b"ipma", version, struct.pack(">I", items) + owners, flags=flags)
    return avif_meta(box(b"iprp", properties + owned_by))


def track(*tables: bytes) -> bytes:
    content = b"".join(tables)
    for kind in (b"stbl", b"minf", b"mdia", b"trak"):
        content = box(kind, content)
    return content


def avif_film(chunks: int, runs: int) -> bytes:
    """A track of two samples, of `chunks` chunks, and of `runs` runs of chunks."""
    chunk_runs = (struct.pack(">III", run and 2**31 + run, 1, 1) for run in range(runs))
    tables = (
        full_box(b"stsz", 0, struct.pack(">II", 1, 2)),
        full_box(b"stco", 0, struct.pack(">I", chunks) + bytes(4 * chunks)),
        full_box(b"stsc", 0, struct.pack(">I", runs) + b"".join(chunk_runs)),
    )
    return FILM + box(b"moov", track(*tables))
