"""Header versions, masks and alpha channels of a BMP, as browsers show them."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import pytest

from service.errors import InvalidImage
from service.imaging.decoder import decode
from tests.service.images import encoded, noise, recipe

SIZE = 32
Values = npt.NDArray[np.int64]
HEADERS = (40, 52, 56, 108, 124)
Y, X = np.mgrid[0:SIZE, 0:SIZE]
COLORS: Values = np.stack([X * 8, Y * 8, (X + Y) * 4], axis=-1)
MASKS_32 = {
    "BGRA": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    "RGBA": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    "ABGR": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    "BGRX": (0xFF0000, 0xFF00, 0xFF, 0),
    "XBGR": (0xFF000000, 0xFF0000, 0xFF00, 0),
    "RGBX": (0xFF, 0xFF00, 0xFF0000, 0),
    "10 bits": (0x3FF00000, 0xFFC00, 0x3FF, 0),
}
MASKS_16 = {
    "565": (0xF800, 0x7E0, 0x1F, 0),
    "555": (0x7C00, 0x3E0, 0x1F, 0),
    "444": (0xF00, 0xF0, 0xF, 0),
    "4444": (0xF00, 0xF0, 0xF, 0xF000),
    "565, blue first": (0x1F, 0x7E0, 0xF800, 0),
}
UNSUPPORTED = {"RGBX", "10 bits", "444", "4444", "565, blue first"}


def bmp(
    bits: int,
    rows: bytes,
    *,
    header: int = 40,
    masks: tuple[int, ...] = (),
    palette: bytes = b"",
    colors: int = 0,
    height: int = SIZE,
) -> bytes:
    """Rows from the lowest. masks: red, green, blue and alpha."""
    packed = struct.pack("<4I", *masks) if masks else b""
    if header == 12:
        fields = struct.pack("<IHHHH", 12, SIZE, height, 1, bits)
    else:
        fields = struct.pack("<IiiHH", header, SIZE, height, 1, bits)
        fields += struct.pack("<IIiiII", 3 if masks else 0, len(rows), 2835, 2835, colors, 0)
        fields = (fields + packed)[:header].ljust(header, b"\0")
    after = packed[:12] if header == 40 else b""
    offset = 14 + header + len(after) + len(palette)
    start = b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset)
    return start + fields + after + palette + rows


def masked(bits: int, masks: tuple[int, ...], alpha: Values) -> bytes:
    values = np.zeros((SIZE, SIZE), np.int64)
    for channel, mask in zip([*np.moveaxis(COLORS, -1, 0), alpha], masks, strict=True):
        if mask:
            shift = (mask & -mask).bit_length() - 1
            values |= (channel * (mask >> shift) // 255) << shift
    return values[::-1].astype(f"<u{bits // 8}").tobytes()


def assert_shown(data: bytes, expected: npt.ArrayLike, tolerance: int = 2) -> None:
    pixels = decode(data, recipe(SIZE, SIZE), max_pixels=10**6).astype(int)
    assert abs(pixels - np.asarray(expected)).max() <= tolerance


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("name", [*MASKS_32, *MASKS_16])
def test_masks_are_right_or_refused(name: str, header: int) -> None:
    bits, masks = (32, MASKS_32[name]) if name in MASKS_32 else (16, MASKS_16[name])
    if masks[3] and header < 56:
        # There is no field for alpha.
        return
    slope = 255 - 3 * X
    data = bmp(bits, masked(bits, masks, slope), header=header, masks=masks)
    if name in UNSUPPORTED:
        with pytest.raises(InvalidImage, match=r"BMP .* Unsupported BMP bitfields layout"):
            decode(data, recipe(SIZE, SIZE), max_pixels=10**6)
        return
    alpha = slope[:, :, None] / 255 if masks[3] else 1
    assert_shown(data, COLORS * alpha + 255 * (1 - alpha), tolerance=2 if bits == 32 else 9)


@pytest.mark.parametrize("header", [56, 108, 124])
@pytest.mark.parametrize("name", ["BGRA", "RGBA", "ABGR"])
def test_alpha_that_is_zero_everywhere_is_unused(name: str, header: int) -> None:
    rows = masked(32, MASKS_32[name], np.zeros_like(X))
    assert_shown(bmp(32, rows, header=header, masks=MASKS_32[name]), COLORS)


def test_alpha_that_is_zero_but_for_a_pixel_is_used() -> None:
    alpha = np.zeros_like(X)
    alpha[0, 0] = 255
    data = bmp(32, masked(32, MASKS_32["BGRA"], alpha), header=124, masks=MASKS_32["BGRA"])
    expected = np.full((SIZE, SIZE, 3), 255)
    expected[0, 0] = COLORS[0, 0]
    assert_shown(data, expected)


@pytest.mark.parametrize("header", [40, 52, 56, 64, 108, 124])
def test_the_fourth_byte_without_masks_is_unused(header: int) -> None:
    unused = np.full((SIZE, SIZE, 1), 0x42)
    rows = np.concatenate([COLORS[:, :, ::-1], unused], axis=-1)[::-1].astype(np.uint8)
    assert_shown(bmp(32, rows.tobytes(), header=header), COLORS)


def test_masks_of_zero_are_refused() -> None:
    data = bmp(32, bytes(4 * SIZE * SIZE), header=124, masks=(0, 0, 0, 0))
    with pytest.raises(InvalidImage, match="masks of this BMP of 32 bits a pixel are zero"):
        decode(data, recipe(SIZE, SIZE), max_pixels=10**6)


@pytest.mark.parametrize("height", [SIZE, -SIZE], ids=["bottom up", "top down"])
@pytest.mark.parametrize("header", [12, 40, 64, 124])
def test_24_bits(header: int, height: int) -> None:
    if header == 12 and height < 0:
        # Its height has no sign.
        return
    rows = COLORS[:: -1 if height > 0 else 1, :, ::-1].astype(np.uint8).tobytes()
    assert_shown(bmp(24, rows, header=header, height=height), COLORS, tolerance=0)


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize(
    "palette",
    [
        pytest.param([0, 255], id="black and white"),
        pytest.param([255, 0], id="white and black"),
        pytest.param(list(range(16)), id="dark greys"),
        pytest.param([level * 17 for level in range(16)], id="greys"),
    ],
)
def test_a_palette_of_greys(bits: int, palette: list[int]) -> None:
    """Pillow takes it for grey of 1 or 8 bits."""
    if len(palette) > 2**bits:
        return
    indices = ((X + Y) // 3 % len(palette)).astype(np.uint8)
    values = (indices[:, :, None] >> np.arange(bits - 1, -1, -1) & 1).reshape(SIZE, -1)
    rows = np.packbits(values[::-1], axis=1).tobytes()
    entries = b"".join(bytes([level, level, level, 0]) for level in palette)
    data = bmp(bits, rows, palette=entries, colors=len(palette))
    assert_shown(data, np.asarray(palette)[indices][:, :, None].repeat(3, axis=2), tolerance=0)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_row_without_the_bytes_that_fill_it_up(missing: int) -> None:
    """21 pixels of three bytes need one; the second and third that are cut off are of a pixel."""
    data = encoded(noise(21, 30), "BMP")
    whole = decode(data, recipe(21, 21), max_pixels=10**6)
    if missing == 1:
        cut = decode(data[:-1], recipe(21, 21), max_pixels=10**6)
        np.testing.assert_array_equal(cut, whole)
        return
    with pytest.raises(InvalidImage, match="BMP image can't be decoded: its data ends before"):
        decode(data[:-missing], recipe(21, 21), max_pixels=10**6)


RUNS = b"".join(bytes([SIZE, 10 + 5 * row]) + b"\0\0" for row in range(SIZE))


@pytest.mark.parametrize(
    "runs", [RUNS[:-2] + b"\0\1", RUNS[:-2], RUNS], ids=["end", "none", "line"]
)
def test_runs_without_their_end(runs: bytes) -> None:
    pixels = decode(packed_by_runs(runs), recipe(SIZE, SIZE), max_pixels=10**6)
    assert pixels[::-1, 5, 1].tolist() == [10 + 5 * row for row in range(SIZE)]


@pytest.mark.parametrize("cut", [4, 60])
def test_runs_that_lack_a_row_are_refused(cut: int) -> None:
    with pytest.raises(InvalidImage, match="BMP image can't be decoded: not enough image data"):
        decode(packed_by_runs(RUNS[:-cut]), recipe(SIZE, SIZE), max_pixels=10**6)


def packed_by_runs(runs: bytes) -> bytes:
    palette = b"".join(bytes([0, level, 9, 0]) for level in range(256))
    data = bytearray(bmp(8, runs, palette=palette, colors=256))
    data[30] = 1
    return bytes(data)
