"""An AVIF whose alpha image does not state its size is shown as browsers show it."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, features

from service.errors import InvalidImage
from service.imaging.decoder import decode
from service.imaging.layouts.avif import SIZE, properties_and_items, without_size
from tests.service.images import encoded, noise, recipe

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def transparent() -> bytes:
    image = noise(40, 40).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return encoded(image, "AVIF", speed=10)


def without(data: bytes, *, image: int, room: bool = True) -> bytes:
    """Without the size of one image. room: its place is left empty, as some encoders write it;
    without it a property that is another image's takes it.
    """
    kinds, items = properties_and_items(data)
    item = items[image]
    size = kinds.index(SIZE) + 1
    bits = [index for index in item.indices if kinds[index - 1] == b"pixi"]
    changed = bytearray(data)
    for index, place in zip(item.indices, item.places, strict=True):
        if index == size:
            changed[place] = 0 if room else kinds.index(b"av1C") + 1
        elif index in bits and not room:
            changed[place] = kinds.index(b"av1C") + 1
    assert len(without_size(*properties_and_items(bytes(changed)))) == 1
    return bytes(changed)


def test_alpha_without_its_size_is_shown() -> None:
    data = transparent()
    pixels = decode(without(data, image=1), recipe(40, 40), max_pixels=10**6)
    np.testing.assert_array_equal(pixels, decode(data, recipe(40, 40), max_pixels=10**6))


def test_where_there_is_no_room_it_is_named() -> None:
    with pytest.raises(InvalidImage, match="does not state the size of its image 2"):
        decode(without(transparent(), image=1, room=False), recipe(40, 40), max_pixels=10**6)


def test_associations_of_two_bytes_are_read() -> None:
    """ISO 23008-12, 9.3.1: by a flag."""
    entry = struct.pack(">IHB", 1, 7, 2) + struct.pack(">HH", 0x8001, 2)
    ipma = struct.pack(">I4sI", 12 + len(entry), b"ipma", 1) + entry
    ispe = struct.pack(">I4sIII", 20, b"ispe", 0, 5, 5)
    ipco = struct.pack(">I4s", 8 + len(ispe), b"ipco") + ispe
    iprp = struct.pack(">I4s", 8 + len(ipco) + len(ipma), b"iprp") + ipco + ipma
    data = struct.pack(">I4sI", 12 + len(iprp), b"meta", 0) + iprp
    kinds, items = properties_and_items(data)
    assert kinds == [SIZE]
    assert [(item.number, item.indices) for item in items] == [(7, [1, 2])]
