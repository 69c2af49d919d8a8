"""Names what an AVIF lacks of which libavif only says that its boxes can't be read."""

from __future__ import annotations

from service.errors import InvalidImage
from service.imaging.limits.heif import META, VERSION_BYTES, boxes_of
from service.imaging.limits.isobmff import MAX_ENTRIES, number

# ISO 23008-12, 9.3: the properties, the list of them, and which item has which; the property that
# states width and height.
PROPERTIES, LIST, ASSOCIATIONS, SIZE = b"iprp", b"ipco", b"ipma", b"ispe"


def explain(data: bytes) -> InvalidImage | None:
    """The refusal of a file with an image whose size is not stated; None of any other."""
    outer = [box for box in boxes_of(data, 0, len(data)) if box.kind == META]
    if not outer:
        return None
    inner = boxes_of(data, outer[0].start + VERSION_BYTES, outer[0].stop)
    properties = [box for box in inner if box.kind == PROPERTIES]
    if not properties:
        return None
    parts = {box.kind: box for box in boxes_of(data, properties[0].start, properties[0].stop)}
    if LIST not in parts or ASSOCIATIONS not in parts:
        return None
    kinds = [box.kind for box in boxes_of(data, parts[LIST].start, parts[LIST].stop)]
    for item, indices in _associations(data, parts[ASSOCIATIONS].start):
        if not any(0 < index <= len(kinds) and kinds[index - 1] == SIZE for index in indices):
            return InvalidImage(
                f"The AVIF does not state the size of its image {item} (no property 'ispe')."
            )
    return None


def _associations(data: bytes, start: int) -> list[tuple[int, list[int]]]:
    """Each item's ID, and which properties it has, counted from 1."""
    id_bytes = 4 if number(data, start, 1) else 2
    wide = number(data, start + 3, 1) % 2
    position, found = start + 8, []
    for _ in range(min(number(data, start + 4, 4), MAX_ENTRIES)):
        item, count = number(data, position, id_bytes), number(data, position + id_bytes, 1)
        position += id_bytes + 1
        places = range(position, position + count * (1 + wide), 1 + wide)
        mask = 0x7FFF if wide else 0x7F
        found.append((item, [number(data, at, 1 + wide) & mask for at in places]))
        position += count * (1 + wide)
        if position > len(data):
            break
    return found
