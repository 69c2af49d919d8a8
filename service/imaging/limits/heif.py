"""Whether all of a HEIF is in the file: libheif shows what is cut off as something else."""

from __future__ import annotations

from collections.abc import Iterator

from service.errors import InvalidImage
from service.imaging.limits.isobmff import MAX_BOXES, MAX_ENTRIES, Box, box_at, number

# ISO 14496-12, 8.11: the box of an image's items, which has version and flags, that of their
# places, and where these are in: the file, or the box of data beside them.
META, LOCATIONS, DATA = b"meta", b"iloc", b"idat"
VERSION_BYTES = 4
IN_FILE, IN_DATA = 0, 1


def boxes_of(data: bytes, position: int, end: int) -> Iterator[Box]:
    """Those that follow each other from there to the end, without those inside of them."""
    for _ in range(MAX_BOXES):
        box = box_at(data, position, min(end, len(data)))
        if box is None:
            return
        yield box
        position = box.stop


def check_extents(data: bytes) -> None:
    """Raises InvalidImage where a part of an item lies beyond the end, or nothing says where."""
    meta = next((box for box in boxes_of(data, 0, len(data)) if box.kind == META), None)
    inside = () if meta is None else boxes_of(data, meta.start + VERSION_BYTES, meta.stop)
    boxes = {box.kind: box for box in inside}
    if LOCATIONS not in boxes:
        raise InvalidImage("A HEIF without an image beside its tracks is not supported.")
    ends = {IN_FILE: len(data)}
    if DATA in boxes:
        ends[IN_DATA] = min(boxes[DATA].stop, len(data)) - boxes[DATA].start
    for method, end in _extents(data, boxes[LOCATIONS]):
        if end > ends.get(method, end):
            raise InvalidImage("The HEIF image is truncated: a part of it lies beyond its end.")


def _extents(data: bytes, box: Box) -> Iterator[tuple[int, int]]:
    """Of each part of each item how its place is given, and where it ends."""
    version = number(data, box.start, 1)
    id_bytes = 4 if version == 2 else 2
    sizes = number(data, box.start + 4, 2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (
        sizes >> bits & 15 for bits in (12, 8, 4, 0)
    )
    index_bytes = index_bytes if version else 0
    position = box.start + 6 + id_bytes
    for _ in range(min(number(data, box.start + 6, id_bytes), MAX_ENTRIES)):
        method = number(data, position + id_bytes, 2) & 15 if version else IN_FILE
        position += id_bytes + (2 if version else 0) + 2
        base = number(data, position, base_bytes)
        position += base_bytes + 2
        for _ in range(min(number(data, position - 2, 2), MAX_ENTRIES)):
            position += index_bytes
            offset = number(data, position, offset_bytes)
            position += offset_bytes
            yield method, base + offset + number(data, position, length_bytes)
            position += length_bytes
