"""Whose colors a JPEG has, by its markers and component ids; and the kinds that are refused."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidImage
from service.imaging.decoder import decode
from tests.service.images import encoded, recipe

SIZE = 32
Y, X = np.mgrid[0:SIZE, 0:SIZE]
COLORS = np.stack([X * 8, Y * 8, (X + Y) * 4], axis=-1).astype(np.uint8)
RGB_LETTERS = (82, 71, 66)
IDS = [(1, 2, 3), (0, 1, 2), RGB_LETTERS, (1, 34, 35), (7, 8, 9)]


def jpeg(*, rgb: bool, ids: tuple[int, ...], jfif: bool, transform: int | None) -> bytes:
    """transform: of an Adobe marker; None for no marker."""
    image = Image.fromarray(COLORS)
    options = {"keep_rgb": True} if rgb else {"subsampling": 0}
    data = bytearray(encoded(image, "JPEG", quality=98, **options))
    start, position = bytes(data[:2]), 2
    while data[position + 1] in (0xE0, 0xEE):
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    rest = data[position:]
    frame, scan = rest.index(b"\xff\xc0"), rest.index(b"\xff\xda")
    for index, number in enumerate(ids):
        rest[frame + 10 + 3 * index] = rest[scan + 5 + 2 * index] = number
    markers = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" if jfif else b""
    if transform is not None:
        markers += b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])
    return start + markers + bytes(rest)


def is_right(data: bytes) -> bool:
    pixels = decode(data, recipe(SIZE, SIZE), max_pixels=10**6).astype(int)
    return bool(abs(pixels - COLORS).max() <= 8)


@pytest.mark.parametrize("ids", IDS, ids=str)
def test_jfif_means_ycc_whatever_the_ids(ids: tuple[int, ...]) -> None:
    assert is_right(jpeg(rgb=False, ids=ids, jfif=True, transform=None))


@pytest.mark.parametrize("ids", IDS, ids=str)
def test_adobe_says_which(ids: tuple[int, ...]) -> None:
    assert is_right(jpeg(rgb=True, ids=ids, jfif=False, transform=0))
    assert is_right(jpeg(rgb=False, ids=ids, jfif=False, transform=1))


@pytest.mark.parametrize("ids", IDS, ids=str)
def test_without_markers_the_ids_say_which(ids: tuple[int, ...]) -> None:
    assert is_right(jpeg(rgb=ids == RGB_LETTERS, ids=ids, jfif=False, transform=None))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_subsampling(subsampling: int) -> None:
    data = encoded(Image.fromarray(COLORS), "JPEG", quality=98, subsampling=subsampling)
    pixels = decode(data, recipe(SIZE, SIZE), max_pixels=10**6).astype(int)
    assert abs(pixels - imagecodecs.jpeg8_decode(data).astype(int)).max() <= 3


def test_grey() -> None:
    data = encoded(Image.fromarray(COLORS).convert("L"), "JPEG", quality=98)
    pixels = decode(data, recipe(SIZE, SIZE), max_pixels=10**6)
    expected = imagecodecs.jpeg8_decode(data)
    np.testing.assert_array_equal(pixels, np.asarray(expected)[:, :, None].repeat(3, axis=2))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0xC3, "lossless"),
        (0xC5, "hierarchical"),
        (0xC9, "arithmetic-coded"),
        (0xCA, "arithmetic-coded"),
        (0xCB, "lossless"),
        (0xF7, "JPEG-LS"),
    ],
)
def test_a_kind_that_is_not_supported_is_named(code: int, kind: str) -> None:
    data = bytearray(encoded(Image.fromarray(COLORS), "JPEG"))
    data[data.index(b"\xff\xc0") + 1] = code
    with pytest.raises(InvalidImage, match=f"A JPEG that is {kind} is not supported"):
        decode(bytes(data), recipe(SIZE, SIZE), max_pixels=10**6)


def test_a_lossless_jpeg_of_another_writer_is_named() -> None:
    data = bytes(imagecodecs.jpeg8_encode(COLORS, lossless=True))
    with pytest.raises(InvalidImage, match="A JPEG that is lossless is not supported"):
        decode(data, recipe(SIZE, SIZE), max_pixels=10**6)


def test_12_bits_are_named() -> None:
    data = bytes(imagecodecs.jpeg8_encode(COLORS.astype(np.uint16) * 16, bitspersample=12))
    with pytest.raises(InvalidImage, match="A JPEG of 12 bits a sample is not supported"):
        decode(data, recipe(SIZE, SIZE), max_pixels=10**6)
