"""The boxes of an AVIF (ISO 14496-12), walked before its reader does, which takes some of them at
their word: it looks for each item among all the others, for each chunk among all the runs, and
copies a property for each item that has it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from service.errors import InvalidImage

MAX_BOXES = 2000
# Of all its tables of items. A transparent photo of 256 tiles has some 4100. Its reader has enough
# for 30 ms of so many that are all different, and of twice as many for four times that.
MAX_ENTRIES = 6000
# So much of a property counts as one more entry.
COPIED_BYTES = 4096
# Which hold boxes, and behind how many bytes: version and flags come first in some.
CONTAINERS = {
    **dict.fromkeys((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"iprp", b"ipco", b"grpl"), 0),
    **dict.fromkeys((b"meta", b"iref"), 4),
}
# Tables of a track, and where the number of their entries stands. One sample has an entry in most
# of them, and a run of samples or a chunk has at least one sample.
TABLES = {
    b"stsz": 8,
    **dict.fromkeys((b"stco", b"co64", b"stsc", b"stts", b"stss", b"stsd"), 4),
}


@dataclass(frozen=True, slots=True)
class _Box:
    """start, stop: where what it holds lies in the file, `stop` perhaps behind its end."""

    kind: bytes
    start: int
    stop: int


def count_samples(data: bytes) -> int:
    """Of its longest track, by the table that says the most.

    Raises InvalidImage where it has more boxes, or more entries about items, than its reader goes
    through in a moment.
    """
    samples: Counter[bytes] = Counter()
    properties: list[int] = []
    most = entries = boxes = track_stop = 0
    # Boxes that follow each other up to an end, and what they lie in.
    rows = [(0, len(data), _Box(b"", 0, len(data)))]
    while rows:
        place, end, parent = rows.pop()
        box = _box(data, place, end)
        if box is None:
            continue
        boxes += 1
        if boxes > MAX_BOXES:
            raise InvalidImage(f"An image may have {MAX_BOXES} boxes. Received: more.")
        rows.append((box.stop, end, parent))
        # By what they lie in first: a property may call itself whatever it likes.
        if parent.kind == b"ipco":
            # A profile is not copied.
            properties.append(0 if box.kind == b"colr" else box.stop - box.start)
        elif parent.kind == b"iref":
            entries += 1 + _number(data, box.start + _id_bytes(data, parent), 2)
        elif box.kind in CONTAINERS:
            rows.append((box.start + CONTAINERS[box.kind], min(box.stop, end), box))
            if box.kind == b"ipco":
                properties.clear()
            # What calls itself a track within a track is none, and ends no count.
            elif box.kind == b"trak" and place >= track_stop:
                track_stop = box.stop
                samples.clear()
        elif box.kind in TABLES:
            samples[box.kind] += _number(data, box.start + TABLES[box.kind], 4)
            most = max(most, samples[box.kind])
        elif box.kind == b"iinf":
            entries += _number(data, box.start + 4, _id_bytes(data, box))
        elif box.kind == b"iloc":
            entries += _places(data, box)
        elif box.kind == b"ipma":
            entries += _associations(data, box, properties)
        if entries > MAX_ENTRIES:
            raise InvalidImage(
                f"An image may have {MAX_ENTRIES} entries in its tables of items. Received: more."
            )
    return most


def _box(data: bytes, place: int, end: int) -> _Box | None:
    """None where no more boxes follow."""
    if place + 8 > end:
        return None
    size, header = _number(data, place, 4), 8
    if size == 0:
        size = end - place
    elif size == 1:
        size, header = _number(data, place + 8, 8), 16
    if size < header:
        return None
    return _Box(data[place + 4 : place + 8], place + header, place + size)


def _places(data: bytes, box: _Box) -> int:
    """Of items, and of their parts: ISO 14496-12, 8.11.3."""
    version = _number(data, box.start, 1)
    id_bytes = 4 if version == 2 else 2
    sizes = _number(data, box.start + 4, 2)
    offset, length, base, index = (sizes >> bits & 15 for bits in (12, 8, 4, 0))
    part_bytes = offset + length + (index if version else 0)
    before = id_bytes + (2 if version else 0) + 2 + base
    place = box.start + 6 + id_bytes
    entries = 0
    for _ in range(min(_number(data, box.start + 6, id_bytes), MAX_ENTRIES + 1)):
        parts = _number(data, place + before, 2)
        entries += max(1, parts)
        place += before + 2 + parts * part_bytes
    return entries


def _associations(data: bytes, box: _Box, properties: list[int]) -> int:
    """Items, and their properties: ISO 23008-12, 9.3. properties: the bytes of each."""
    id_bytes = _id_bytes(data, box)
    index_bytes = 1 + _number(data, box.start + 3, 1) % 2
    mask = (1 << (8 * index_bytes - 1)) - 1
    place = box.start + 8
    entries = 0
    for _ in range(min(_number(data, box.start + 4, 4), MAX_ENTRIES + 1)):
        count = _number(data, place + id_bytes, 1)
        place += id_bytes + 1
        entries += 1 + count
        if entries > MAX_ENTRIES:
            break
        for _ in range(count):
            index = _number(data, place, index_bytes) & mask
            place += index_bytes
            if 0 < index <= len(properties):
                entries += properties[index - 1] // COPIED_BYTES
    return entries


def _id_bytes(data: bytes, box: _Box) -> int:
    """Of an item's number, by the version of what names it."""
    return 4 if _number(data, box.start, 1) else 2


def _number(data: bytes, place: int, count: int) -> int:
    """As far as the file goes."""
    return int.from_bytes(data[place : place + count], "big")
