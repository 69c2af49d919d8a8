"""Every color type, depth, order of rows and kind of transparency of a PNG."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from service.errors import InvalidImage
from service.imaging.decoder import decode
from tests.service.images import recipe
from tests.service.imaging.layouts.png_files import written

SIZE = 32
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {
    GREY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    RGBA: (8, 16),
}
CASES = [
    pytest.param(kind, depth, interlaced, clear, id=f"{kind}-{depth}-{interlaced:d}-{clear:d}")
    for kind, depths in DEPTHS.items()
    for depth in depths
    for interlaced in (False, True)
    for clear in ((False, True) if kind < GREY_ALPHA else (False,))
]
Values = npt.NDArray[np.float64]


def samples_of(kind: int, depth: int) -> npt.NDArray[np.int64]:
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    slopes = np.stack([x, y, (x + y) / 2, 1 - x], axis=-1)
    used = slopes[:, :, [0, 3]] if kind == GREY_ALPHA else slopes[:, :, : CHANNELS[kind]]
    return np.asarray(np.round(used * (2**depth - 1)), np.int64)


def palette_of(depth: int) -> npt.NDArray[np.uint8]:
    levels = np.linspace(0, 255, 2**depth)
    return np.stack([levels, 255 - levels, levels * 7 % 256], axis=-1).astype(np.uint8)


def shown(kind: int, depth: int, samples: npt.NDArray[np.int64], *, clear: bool) -> Values:
    """[SIZE, SIZE, 3] from 0 to 255, over white."""
    highest = 2**depth - 1
    alpha = np.ones((SIZE, SIZE, 1))
    if kind == PALETTE:
        colors = palette_of(depth)[samples[:, :, 0]].astype(np.float64)
        if clear:
            alpha = samples / highest
    else:
        used = samples[:, :, :3] if kind in (RGB, RGBA) else samples[:, :, [0, 0, 0]]
        colors = used * 255 / highest
        if kind in (GREY_ALPHA, RGBA):
            alpha = samples[:, :, -1:] / highest
        elif clear:
            alpha = (samples != samples[9, 9]).any(axis=-1, keepdims=True).astype(np.float64)
    return colors * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize(("kind", "depth", "interlaced", "clear"), CASES)
def test_a_layout_is_right_or_refused(kind: int, depth: int, interlaced: bool, clear: bool) -> None:
    samples = samples_of(kind, depth)
    chunks: list[tuple[bytes, bytes]] = []
    if kind == PALETTE:
        chunks.append((b"PLTE", palette_of(depth).tobytes()))
    if clear and kind == PALETTE:
        chunks.append((b"tRNS", np.linspace(0, 255, 2**depth).astype(np.uint8).tobytes()))
    elif clear:
        chunks.append((b"tRNS", b"".join(struct.pack(">H", part) for part in samples[9, 9])))
    data = written(samples, kind, depth, interlaced=interlaced, chunks=tuple(chunks))
    if (kind, depth, clear) == (RGB, 16, True):
        with pytest.raises(InvalidImage, match="16 bits a sample with a transparent color"):
            decode(data, recipe(SIZE, SIZE), max_pixels=10**6)
        return
    pixels = decode(data, recipe(SIZE, SIZE), max_pixels=10**6).astype(np.float64)
    assert abs(pixels - shown(kind, depth, samples, clear=clear)).max() <= 2


@pytest.mark.parametrize(("kind", "depth"), [(GREY, 8), (GREY, 16), (RGB, 8), (RGB, 16), (RGBA, 8)])
def test_an_independent_reader_finds_the_same_samples(kind: int, depth: int) -> None:
    """Of the files that these tests write, by libpng."""
    samples = samples_of(kind, depth)
    for interlaced in (False, True):
        read = imagecodecs.png_decode(written(samples, kind, depth, interlaced=interlaced))
        np.testing.assert_array_equal(np.asarray(read).reshape(samples.shape), samples)


def test_a_transparent_grey_of_16_bits_is_that_one_only() -> None:
    """Not every grey with the same high byte."""
    samples = np.full((SIZE, SIZE, 1), 0x4041)
    samples[:16] = 0x4040
    data = written(samples, GREY, 16, chunks=((b"tRNS", b"\x40\x40"),))
    assert Image.open(io.BytesIO(data)).mode == "I;16"
    pixels = decode(data, recipe(SIZE, SIZE), max_pixels=10**6)
    assert pixels[8, 8].tolist() == [255] * 3
    assert pixels[24, 24].tolist() == [0x40] * 3
