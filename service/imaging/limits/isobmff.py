"""Limits of an AVIF, whose boxes are ISO 14496-12's: its samples and its tables of items.

libavif looks for each item among all others and for each chunk among all runs of chunks, and it
copies a property for each item that has it. So the boxes are counted before it reads them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from service.imaging.limits.dimensions import check_frame_count, check_part_count

MAX_BOXES = 2000
# Of all tables of items together. A transparent photo of 256 tiles has about 4100. libavif takes
# 30 ms for this many different entries, and four times as long for twice as many.
MAX_ENTRIES = 6000
# Each time that this many bytes of a property are copied counts as one entry.
BYTES_PER_ENTRY = 4096
# Boxes that contain boxes, and the number of bytes before the first: some have version and flags.
CONTAINERS = {
    **dict.fromkeys((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"iprp", b"ipco", b"grpl"), 0),
    **dict.fromkeys((b"meta", b"iref"), 4),
}
# Tables of a track, and the position of their number of entries. A valid track has no more entries
# in any of them than samples: most have one for each sample, a run or a chunk has at least one.
TABLES = {
    b"stsz": 8,
    **dict.fromkeys((b"stco", b"co64", b"stsc", b"stts", b"stss", b"stsd"), 4),
}


@dataclass(frozen=True, slots=True)
class Box:
    """start, stop: the positions of its content in the file; `stop` may lie behind the file's end.

    kind: its type, four bytes.
    """

    kind: bytes
    start: int
    stop: int


def check_frames(data: bytes, max_frames: int) -> None:
    """Limits samples, boxes and entries. Raises ImageTooLarge for samples, else InvalidImage."""
    check_frame_count(count_samples(data), max_frames)


def count_samples(data: bytes) -> int:
    """Samples of the longest track, by the largest of its tables; 0 where there is no track.

    Raises InvalidImage for too many boxes, or too many entries in tables of items.
    """
    samples: Counter[bytes] = Counter()
    # Bytes of each property.
    properties: list[int] = []
    longest = entries = boxes = track_stop = 0
    # What is still to be read: the position of a box, the end of its parent, and the parent.
    pending = [(0, len(data), Box(b"", 0, len(data)))]
    while pending:
        position, end, parent = pending.pop()
        box = box_at(data, position, end)
        if box is None:
            continue
        boxes += 1
        check_part_count("boxes", boxes, MAX_BOXES)
        pending.append((box.stop, end, parent))
        # The parent decides first: a property or a reference may have any type.
        if parent.kind == b"ipco":
            # libavif does not copy a color profile.
            properties.append(0 if box.kind == b"colr" else box.stop - box.start)
        elif parent.kind == b"iref":
            entries += 1 + number(data, box.start + _id_bytes(data, parent), 2)
        elif box.kind in CONTAINERS:
            pending.append((box.start + CONTAINERS[box.kind], min(box.stop, end), box))
            if box.kind == b"ipco":
                properties.clear()
            # A `trak` inside a track is not a track, and must not reset the count.
            elif box.kind == b"trak" and position >= track_stop:
                track_stop = box.stop
                samples.clear()
        elif box.kind in TABLES:
            samples[box.kind] += number(data, box.start + TABLES[box.kind], 4)
            longest = max(longest, samples[box.kind])
        elif box.kind == b"iinf":
            entries += number(data, box.start + 4, _id_bytes(data, box))
        elif box.kind == b"iloc":
            entries += _location_entries(data, box)
        elif box.kind == b"ipma":
            entries += _association_entries(data, box, properties)
        check_part_count("entries in its tables of items", entries, MAX_ENTRIES)
    return longest


def box_at(data: bytes, position: int, end: int) -> Box | None:
    """None where no box follows."""
    if position + 8 > end:
        return None
    size, header = number(data, position, 4), 8
    if size == 0:
        size = end - position
    elif size == 1:
        size, header = number(data, position + 8, 8), 16
    if size < header:
        return None
    return Box(data[position + 4 : position + 8], position + header, position + size)


def _location_entries(data: bytes, box: Box) -> int:
    """Items and their extents (ISO 14496-12, 8.11.3); stops at one too many."""
    version = number(data, box.start, 1)
    id_bytes = 4 if version == 2 else 2
    sizes = number(data, box.start + 4, 2)
    offset, length, base, index = (sizes >> bits & 15 for bits in (12, 8, 4, 0))
    extent_bytes = offset + length + (index if version else 0)
    before = id_bytes + (2 if version else 0) + 2 + base
    position = box.start + 6 + id_bytes
    entries = 0
    for _ in range(min(number(data, box.start + 6, id_bytes), MAX_ENTRIES + 1)):
        extents = number(data, position + before, 2)
        entries += max(1, extents)
        position += before + 2 + extents * extent_bytes
    return entries


def _association_entries(data: bytes, box: Box, properties: list[int]) -> int:
    """Items, their properties, and the bytes copied (ISO 23008-12, 9.3); stops at one too many.

    properties: the bytes of each.
    """
    id_bytes = _id_bytes(data, box)
    index_bytes = 1 + number(data, box.start + 3, 1) % 2
    mask = (1 << (8 * index_bytes - 1)) - 1
    position = box.start + 8
    entries = 0
    for _ in range(min(number(data, box.start + 4, 4), MAX_ENTRIES + 1)):
        count = number(data, position + id_bytes, 1)
        position += id_bytes + 1
        entries += 1 + count
        if entries > MAX_ENTRIES:
            break
        for _ in range(count):
            index = number(data, position, index_bytes) & mask
            position += index_bytes
            if 0 < index <= len(properties):
                entries += properties[index - 1] // BYTES_PER_ENTRY
    return entries


def _id_bytes(data: bytes, box: Box) -> int:
    """Bytes of an item's ID, by the version of the box that states it."""
    return 4 if number(data, box.start, 1) else 2


def number(data: bytes, position: int, count: int) -> int:
    """Unsigned and big-endian, of those of its `count` bytes that the file has."""
    return int.from_bytes(data[position : position + count], "big")
