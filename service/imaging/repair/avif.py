"""An AVIF whose alpha image does not state its size, which is that of the colors (MIAF, 7.3.5)."""

from __future__ import annotations

from collections.abc import Iterator

from service.imaging.layouts.avif import SIZE, properties_and_items, without_size

# An index that says nothing; and the number of bits of each channel, which decoders do without.
NONE, CHANNEL_BITS = 0, b"pixi"
MAX_INDEX = 127


def repairs(data: bytes) -> Iterator[bytes]:
    """Nothing where every image states its size, or where there is no room to state it."""
    kinds, items = properties_and_items(data)
    sizes = [index for index, kind in enumerate(kinds, 1) if kind == SIZE]
    lacking = without_size(kinds, items)
    if len(sizes) != 1 or sizes[0] > MAX_INDEX or not lacking:
        return
    repaired = bytearray(data)
    for item in lacking:
        room = [
            place
            for index, place in zip(item.indices, item.places, strict=True)
            if index == NONE or (index <= len(kinds) and kinds[index - 1] == CHANNEL_BITS)
        ]
        if not room or room[0] >= len(data):
            return
        repaired[room[0]] = sizes[0]
    yield bytes(repaired)
