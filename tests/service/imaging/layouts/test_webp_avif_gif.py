"""Layouts of WebP, AVIF and GIF, against independent readers."""

from __future__ import annotations

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, features

from service.imaging.decoder import decode
from tests.service.images import encoded, recipe

SIZE = 48
Y, X = np.mgrid[0:SIZE, 0:SIZE]
COLORS = np.stack([X * 5, Y * 5, (X + Y) * 2], axis=-1).astype(np.uint8)
ALPHA = (255 - X * 4).astype(np.uint8)[:, :, None]
RGBA = np.concatenate([COLORS, ALPHA], axis=-1)
Pixels = npt.NDArray[np.int64]

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def pixels_of(data: bytes) -> Pixels:
    return decode(data, recipe(SIZE, SIZE), max_pixels=10**6).astype(np.int64)


def over_white(samples: npt.NDArray[Any], highest: int = 255) -> npt.NDArray[np.float64]:
    colors = samples.astype(np.float64) * 255 / highest
    if colors.ndim == 2:
        colors = colors[:, :, None]
    if colors.shape[2] in (2, 4):
        alpha = colors[:, :, -1:] / 255
        colors = colors[:, :, :-1] * alpha + 255 * (1 - alpha)
    return np.broadcast_to(colors, (SIZE, SIZE, 3))


@pytest.mark.parametrize("samples", [COLORS, RGBA], ids=["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [True, False])
def test_webp(samples: npt.NDArray[np.uint8], lossless: bool) -> None:
    data = bytes(imagecodecs.webp_encode(samples, lossless=lossless, level=90))
    expected = over_white(np.asarray(imagecodecs.webp_decode(data)))
    assert abs(pixels_of(data) - expected).max() <= 2


@needs_avif
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("samples", [COLORS, RGBA, COLORS[:, :, 0]], ids=["RGB", "RGBA", "grey"])
def test_avif(samples: npt.NDArray[np.uint8], bits: int) -> None:
    deep = samples if bits == 8 else samples.astype(np.uint16) << (bits - 8)
    data = bytes(imagecodecs.avif_encode(deep, level=95, bitspersample=bits))
    read = np.asarray(imagecodecs.avif_decode(data))
    assert abs(pixels_of(data) - over_white(read, 2**bits - 1)).max() <= 4


@needs_avif
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:0:0"])
def test_avif_subsampling(subsampling: str) -> None:
    image = Image.fromarray(COLORS)
    data = encoded(image, "AVIF", subsampling=subsampling, quality=95)
    read = np.asarray(imagecodecs.avif_decode(data))
    assert abs(pixels_of(data) - over_white(read)).max() <= 3


def gif(
    *, interlaced: bool = False, local: bool = False, clear: int | None = None, inset: int = 0
) -> bytes:
    """A frame of 16 greens, `inset` pixels from the left and the top, on a screen of SIZE."""
    edge = SIZE - inset
    palette = b"".join(bytes([0, level * 17, 0]) for level in range(16))
    indices = (np.add.outer(np.arange(edge), np.arange(edge)) // 4 % 16).astype(np.uint8)
    rows = np.arange(edge)
    if interlaced:
        # GIF89a, appendix E.
        rows = np.concatenate([np.arange(a, edge, b) for a, b in ((0, 8), (4, 8), (2, 4), (1, 2))])
    table = palette if not local else bytes(48)
    screen = struct.pack("<HHBBB", SIZE, SIZE, 0x83, 0, 0) + table
    control = b"" if clear is None else b"!\xf9\x04\x01\0\0" + bytes([clear, 0])
    flags = (0x83 if local else 0) | (0x40 if interlaced else 0)
    frame = b"," + struct.pack("<HHHHB", inset, inset, edge, edge, flags)
    frame += palette if local else b""
    # Codes of 5 bits, and a clear code before the decoder would take 6.
    codes: list[int] = []
    for place, value in enumerate(indices[rows].ravel()):
        codes += [16] * (place % 14 == 0) + [int(value)]
    bits = "".join(f"{code:05b}"[::-1] for code in [*codes, 17])
    packed = bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))
    blocks = b"".join(
        bytes([len(packed[at : at + 255])]) + packed[at : at + 255]
        for at in range(0, len(packed), 255)
    )
    return b"GIF89a" + screen + control + frame + b"\x04" + blocks + b"\0;"


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("clear", [None, 3])
@pytest.mark.parametrize("inset", [0, 8])
def test_gif(interlaced: bool, local: bool, clear: int | None, inset: int) -> None:
    data = gif(interlaced=interlaced, local=local, clear=clear, inset=inset)
    edge = SIZE - inset
    indices = np.add.outer(np.arange(edge), np.arange(edge)) // 4 % 16
    pixels = pixels_of(data)[inset:, inset:]
    expected = np.zeros((edge, edge, 3), np.int64)
    expected[:, :, 1] = indices * 17
    if clear is not None:
        expected[indices == clear] = 255
    np.testing.assert_array_equal(pixels, expected)
    assert Image.open(io.BytesIO(data)).size == (SIZE, SIZE)
