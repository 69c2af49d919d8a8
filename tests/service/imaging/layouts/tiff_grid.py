"""The layouts of a TIFF that are tried: what an independent reader shows, and what we do."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
import tifffile

from service.errors import InvalidImage
from service.imaging.decoder import decode
from tests.service.images import recipe
from tests.service.imaging.layouts.tiff_files import (
    BLACK_IS_ZERO,
    CMYK,
    FLOAT,
    LAB,
    PALETTE,
    RGB,
    SIGNED,
    UNSIGNED,
    WHITE_IS_ZERO,
    YCBCR,
    Layout,
    Order,
    Samples,
)

SIZE = 48
ORDERS: tuple[Order, ...] = ("<", ">")
KINDS = {UNSIGNED: "", SIGNED: ", signed", FLOAT: ", floating-point"}
NAMES = {
    WHITE_IS_ZERO: "MinIsWhite",
    BLACK_IS_ZERO: "MinIsBlack",
    RGB: "RGB",
    PALETTE: "palette",
    CMYK: "CMYK",
    YCBCR: "YCbCr",
    LAB: "L\\*a\\*b\\*",
}
EXTRAS = {0: "unspecified", 1: "premultiplied alpha", 2: "alpha"}
CHANNELS = {RGB: 3, CMYK: 4, YCBCR: 3, LAB: 3}
BITS = [
    (bits, UNSIGNED) for bits in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 32)
]
BITS += [(bits, SIGNED) for bits in (8, 16, 32)] + [(bits, FLOAT) for bits in (16, 32, 64)]


@dataclass(frozen=True, slots=True)
class Group:
    """One row of the table: layouts that differ only in their arrangement."""

    photometric: int
    bits: int
    kind: int
    extra: tuple[int, ...] = ()
    small_palette: bool = False
    subsampling: tuple[int, int] | None = None

    def __str__(self) -> str:
        extra = " and ".join(EXTRAS[kind] for kind in self.extra)
        return (
            f"{NAMES[self.photometric]}"
            + (f" {self.subsampling[0]} x {self.subsampling[1]}" if self.subsampling else "")
            + f", {self.bits} bit{'s' * (self.bits > 1)}{KINDS[self.kind]}"
            + (f", {extra}" if extra else "")
            + (", 8 bits in its map" if self.small_palette else "")
        )

    @property
    def channels(self) -> int:
        return CHANNELS.get(self.photometric, 1)

    def layouts(self) -> Iterator[Layout]:
        """Of every arrangement that the format allows for it."""
        samples = self.channels + len(self.extra)
        whole = self.bits in (8, 16, 32, 64)
        planes = (False, True) if samples > 1 and not self.subsampling else (False,)
        for planar, order, compression, tiles in product(
            planes, ORDERS, ("none", "LZW", "Deflate", "PackBits"), (False, True)
        ):
            layout = Layout(
                self.photometric,
                self.bits,
                self.kind,
                self.channels,
                self.extra,
                planar=planar,
                order=order,
                compression=compression,
                tiles=tiles,
                palette=self.palette(),
                subsampling=self.subsampling,
            )
            if tiles and (self.subsampling or compression == "PackBits"):
                continue
            yield layout
            yield replace(layout, big=True)
            if self.kind == UNSIGNED and not tiles:
                yield replace(layout, low_bit_first=True)
            if whole and compression in ("LZW", "Deflate") and not self.subsampling:
                if self.kind != FLOAT and self.bits < 64:
                    yield replace(layout, predictor=2)
                elif self.kind == FLOAT:
                    yield replace(layout, predictor=3)

    def palette(self) -> npt.NDArray[np.uint16] | None:
        if self.photometric != PALETTE or self.bits > 16:
            return None
        levels = np.linspace(0, 255, 2**self.bits).round()
        colors = np.stack([levels, 255 - levels, (levels * 7) % 256], axis=-1)
        return (colors if self.small_palette else colors * 257).astype(np.uint16)

    def values(self) -> Samples:
        """[SIZE, SIZE, channels] from 0 to 1: slopes in several directions."""
        y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
        values = np.stack([x, y, (x + y) / 2, 0.4 * (1 - x)], axis=-1)[:, :, : self.channels]
        if self.photometric == LAB:
            # Signed: from -8 to 8 of 128, as unsigned bytes.
            chroma = np.round(16 * values[:, :, 1:] - 8) % 256 / 255
            values = np.concatenate([0.3 + 0.5 * values[:, :, :1], chroma], axis=-1)
        if self.photometric == YCBCR:
            values = values * 0.6 + 0.2
        alpha = 0.3 + 0.7 * y[:, :, None]
        if self.extra[:1] == (1,):
            values = values * alpha
        return np.concatenate([values, *[alpha] * len(self.extra)], axis=-1)

    def shown(self, samples: Samples) -> Samples:
        """[SIZE, SIZE, 3] from 0 to 255. samples: as they are stored."""
        colors = samples[:, :, : self.channels].astype(np.float64)
        scale = 1 if self.kind == FLOAT else 2 ** (self.bits - (self.kind == SIGNED)) - 1
        colors, rest = colors / scale, samples[:, :, self.channels :] / scale
        if self.photometric == WHITE_IS_ZERO:
            colors = 1 - colors
        palette = self.palette()
        if palette is not None:
            colors = palette[samples[:, :, 0].astype(int)] / (255 if self.small_palette else 65535)
        if self.photometric == CMYK:
            colors = (1 - colors[:, :, :3]) * (1 - colors[:, :, 3:])
        if self.photometric == YCBCR:
            y, blue, red = (colors[:, :, i] - 0.5 * (i > 0) for i in range(3))
            green = y - 0.344136 * blue - 0.714136 * red
            colors = np.stack([y + 1.402 * red, green, y + 1.772 * blue], axis=-1)
        if self.photometric == LAB:
            colors = srgb_of_lab(samples[:, :, :3].astype(np.float64))
        if self.extra[:1] in ((1,), (2,)):
            alpha = rest[:, :, :1]
            colors = colors * (alpha if self.extra[0] == 2 else 1) + 1 - alpha
        return np.broadcast_to(np.clip(colors, 0, 1) * 255, (SIZE, SIZE, 3))

    @property
    def tolerance(self) -> float:
        if self.photometric in (LAB, YCBCR):
            return 8
        return 3


def srgb_of_lab(lab: Samples) -> Samples:
    """CIE 15 and IEC 61966-2-1, from the white of D50 by Bradford's matrix."""
    chroma = (lab[:, :, 1:] + 128) % 256 - 128
    middle = (lab[:, :, 0] / 255 * 100 + 16) / 116
    parts = np.stack([middle + chroma[:, :, 0] / 500, middle, middle - chroma[:, :, 1] / 200], -1)
    xyz = np.where(parts > 6 / 29, parts**3, 3 * (6 / 29) ** 2 * (parts - 4 / 29))
    xyz = xyz * (0.9642, 1, 0.8249)
    to_srgb = np.array(
        [
            [3.1338561, -1.6168667, -0.4906146],
            [-0.9787684, 1.9161415, 0.0334540],
            [0.0719453, -0.2289914, 1.4052427],
        ]
    )
    linear = np.clip(xyz @ to_srgb.T, 0, 1)
    curve = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, curve), np.float64)


def groups() -> Iterator[Group]:
    for photometric in (BLACK_IS_ZERO, WHITE_IS_ZERO, RGB, CMYK):
        for bits, kind in BITS:
            yield Group(photometric, bits, kind)
    for photometric, bits in product((BLACK_IS_ZERO, WHITE_IS_ZERO, RGB, CMYK), (1, 4, 8, 16)):
        for extra in ((0,), (1,), (2,), (0, 0), (2, 0), (1, 0)):
            yield Group(photometric, bits, UNSIGNED, extra)
    for bits in (1, 2, 4, 8, 16):
        yield Group(PALETTE, bits, UNSIGNED)
        yield Group(PALETTE, bits, UNSIGNED, small_palette=True)
    for bits in (8, 16):
        yield Group(LAB, bits, UNSIGNED)
    yield Group(YCBCR, 16, UNSIGNED)
    for subsampling in ((1, 1), (2, 1), (2, 2), (4, 2)):
        yield Group(YCBCR, 8, UNSIGNED, subsampling=subsampling)


def read_independently(data: bytes, stored: Samples, *, planar: bool) -> Samples:
    """By tifffile; what was stored, where tifffile can't read the layout."""
    try:
        samples = tifffile.imread(io.BytesIO(data))
    except Exception:
        return stored
    if planar and samples.ndim == 3:
        samples = np.moveaxis(samples, 0, -1)
    return np.asarray(samples).reshape(stored.shape)


def outcome(group: Group, layout: Layout) -> str:
    """ "right", the difference where it is wrong, or the refusal."""
    stored = layout.stored(group.values())
    data = layout.write(stored)
    try:
        pixels = decode(data, recipe(SIZE, SIZE), max_pixels=10**6).astype(np.float64)
    except InvalidImage as refusal:
        return str(refusal)
    samples = read_independently(data, stored, planar=layout.planar)
    difference = abs(pixels - group.shown(samples)).max()
    return "right" if difference <= group.tolerance else f"wrong by {difference:.0f} levels"
