"""Names what an AVIF lacks of which libavif only says that its boxes can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from service.errors import InvalidImage
from service.imaging.limits.heif import META, VERSION_BYTES, boxes_of
from service.imaging.limits.isobmff import MAX_ENTRIES, Box, number

# ISO 23008-12, 9.3: the properties, the list of them, and which item has which; the property that
# states width and height.
PROPERTIES, LIST, ASSOCIATIONS, SIZE = b"iprp", b"ipco", b"ipma", b"ispe"


class Item(NamedTuple):
    """indices: of its properties, counted from 1. places: where in the file each is stated."""

    number: int
    indices: list[int]
    places: list[int]


def properties_and_items(data: bytes) -> tuple[list[bytes], list[Item]]:
    """The kinds of all properties, and which image has which; empty where the file does not say."""
    outer = [box for box in boxes_of(data, 0, len(data)) if box.kind == META]
    inner = [box for one in outer[:1] for box in _inside(data, one, VERSION_BYTES)]
    parts = {box.kind: box for one in inner if one.kind == PROPERTIES for box in _inside(data, one)}
    if LIST not in parts or ASSOCIATIONS not in parts:
        return [], []
    kinds = [box.kind for box in _inside(data, parts[LIST])]
    return kinds, _items(data, parts[ASSOCIATIONS].start)


def without_size(kinds: list[bytes], items: list[Item]) -> list[Item]:
    return [
        item
        for item in items
        if not any(0 < index <= len(kinds) and kinds[index - 1] == SIZE for index in item.indices)
    ]


def explain(data: bytes) -> InvalidImage | None:
    """The refusal of a file with an image whose size is not stated; None of any other."""
    for item in without_size(*properties_and_items(data)):
        return InvalidImage(
            f"The AVIF does not state the size of its image {item.number} (no property 'ispe')."
        )
    return None


def _inside(data: bytes, box: Box, skipped: int = 0) -> Iterator[Box]:
    return boxes_of(data, box.start + skipped, box.stop)


def _items(data: bytes, start: int) -> list[Item]:
    id_bytes = 4 if number(data, start, 1) else 2
    index_bytes = 1 + number(data, start + 3, 1) % 2
    mask = (1 << (8 * index_bytes - 1)) - 1
    position, found = start + 8, []
    for _ in range(min(number(data, start + 4, 4), MAX_ENTRIES)):
        item, count = number(data, position, id_bytes), number(data, position + id_bytes, 1)
        position += id_bytes + 1
        places = [position + index_bytes * place for place in range(count)]
        indices = [number(data, at, index_bytes) & mask for at in places]
        # Of an index of two bytes the second one is what counts here: there are few properties.
        found.append(Item(item, indices, [at + index_bytes - 1 for at in places]))
        position += count * index_bytes
        if position > len(data):
            break
    return found
