"""The layouts of a TIFF's samples that are known to be decoded right; every other one is refused.

Pillow and libtiff decode more, some of it wrong and without an error: planes and inverted, packed,
signed or floating samples. tests/service/imaging/layouts/test_tiff.py compares each layout with an
independent reader. The numbers are those of TIFF 6.0 and of its supplements.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImagePalette
from PIL.TiffImagePlugin import COMPRESSION_INFO, ImageFileDirectory_v2, TiffImageFile

from service.errors import InvalidImage
from service.imaging.layouts.alpha import without_unused_alpha

PHOTOMETRIC, COMPRESSION, FILL_ORDER, PLANAR, PREDICTOR = 262, 259, 266, 284, 317
BITS, SAMPLES, EXTRA, FORMAT, COLOR_MAP, INK_SET = 258, 277, 338, 339, 320, 332
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR = range(7)
LAB = 8
# No number of the format: CMYK whose InkSet says that its inks are others.
OTHER_INKS = -2
NAMES = {
    OTHER_INKS: "inks other than CMYK",
    WHITE_IS_ZERO: "grey (MinIsWhite)",
    BLACK_IS_ZERO: "grey (MinIsBlack)",
    RGB: "RGB",
    PALETTE: "palette",
    MASK: "transparency mask",
    CMYK: "CMYK",
    YCBCR: "YCbCr",
    LAB: "CIE L*a*b*",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "color filter array (a raw photo)",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
}
KINDS = {UNSIGNED: "unsigned", SIGNED: "signed", FLOAT: "floating-point"}
CHANNELS = {RGB: 3, CMYK: 4, YCBCR: 3, LAB: 3}
EXTRAS = {0: "unspecified", 1: "premultiplied alpha", 2: "alpha"}
OPAQUE, PREMULTIPLIED, ALPHA = (0,), (1,), (2,)
# Of unsigned samples: the extra samples with which each photometric interpretation and number of
# bits is right where the samples of a pixel lie together, and where they lie in compressed planes.
CHUNKY: dict[tuple[int, int], set[tuple[int, ...]]] = {
    **{(grey, bits): {()} for grey in (WHITE_IS_ZERO, BLACK_IS_ZERO) for bits in (1, 2, 4, 8, 16)},
    (BLACK_IS_ZERO, 8): {(), OPAQUE, PREMULTIPLIED, ALPHA},
    (BLACK_IS_ZERO, 12): {()},
    (BLACK_IS_ZERO, 32): {()},
    (RGB, 8): {(), OPAQUE, PREMULTIPLIED, ALPHA, (0, 0), (1, 0), (2, 0)},
    (RGB, 16): {(), OPAQUE, PREMULTIPLIED, ALPHA},
    **{(PALETTE, bits): {()} for bits in (1, 2, 4, 8)},
    (CMYK, 8): {(), OPAQUE, (0, 0)},
    (CMYK, 16): {()},
    (YCBCR, 8): {()},
    (LAB, 8): {()},
}
PLANES: dict[tuple[int, int], set[tuple[int, ...]]] = {
    (RGB, 8): {(), OPAQUE, PREMULTIPLIED, ALPHA},
    (RGB, 16): {(), OPAQUE, PREMULTIPLIED, ALPHA},
    (CMYK, 8): {(), OPAQUE},
    (CMYK, 16): {()},
}
# What may lie in planes without compression, which Pillow reads without libtiff.
RAW_PLANES = {(RGB, 8, ()), (RGB, 8, ALPHA), (CMYK, 8, ())}
# What Pillow reads in the byte order of this machine only.
LITTLE_ENDIAN = {(WHITE_IS_ZERO, 16), (BLACK_IS_ZERO, 12), (BLACK_IS_ZERO, 32)}
# What Pillow does not read uncompressed with the lowest bit first.
NOT_TURNED = {(WHITE_IS_ZERO, 8), (PALETTE, 1), (PALETTE, 2), (PALETTE, 4)}
# Pillow takes it for a TIFF of 32 bits.
BIG_ENDIAN_BIG = b"MM\0+"
# Floats say nowhere what is white. Up to the first it is 1, from the second to the third it is 255.
UNIT_FLOATS, BYTE_FLOATS, MAX_BYTE_FLOATS = 1.1, 16.0, 255.5


@dataclass(frozen=True, slots=True)
class Layout:
    """bits and kinds: of each sample. extra: ExtraSamples. order: II or MM."""

    photometric: int
    bits: tuple[int, ...]
    kinds: tuple[int, ...]
    extra: tuple[int, ...]
    planar: bool
    order: str
    compression: str
    predictor: int
    low_bit_first: bool

    @classmethod
    def of(cls, tags: Mapping[int, Any], order: str) -> Layout:
        """Of a directory's tags, with the defaults of Pillow where they are missing."""
        bits = _numbers(tags.get(BITS, 1))
        samples = _number(tags.get(SAMPLES, 1))
        number = _number(tags.get(COMPRESSION, 1))
        photometric = _number(tags.get(PHOTOMETRIC, WHITE_IS_ZERO))
        other_inks = photometric == CMYK and _number(tags.get(INK_SET, 1)) != 1
        return cls(
            photometric=OTHER_INKS if other_inks else photometric,
            bits=bits * samples if len(bits) == 1 and samples <= 64 else bits[:samples],
            kinds=_numbers(tags.get(FORMAT, UNSIGNED)),
            extra=_numbers(tags.get(EXTRA, ())),
            planar=_number(tags.get(PLANAR, 1)) == 2 and samples > 1,
            order=order,
            compression=COMPRESSION_INFO.get(number, f"compression {number}"),
            predictor=_number(tags.get(PREDICTOR, 1)),
            low_bit_first=_number(tags.get(FILL_ORDER, 1)) == 2,
        )

    def __str__(self) -> str:
        kinds = {KINDS.get(kind, f"sample format {kind}") for kind in self.kinds[:64]}
        bits = sorted(set(self.bits))
        extra = ", ".join(EXTRAS.get(kind, str(kind)) for kind in self.extra[:8])
        parts = (
            NAMES.get(self.photometric, f"photometric interpretation {self.photometric}"),
            f"{' and '.join(map(str, bits[:8]))} bits a sample",
            " and ".join(sorted(kinds)),
            extra and f"extra samples: {extra}",
            "in planes" if self.planar else "",
            "big-endian" if self.order == "MM" else "little-endian",
            "bits from the lowest" if self.low_bit_first else "",
            "uncompressed" if self.compression == "raw" else self.compression,
            f"predictor {self.predictor}" if self.predictor != 1 else "",
        )
        return ", ".join(filter(None, parts))

    @property
    def known(self) -> bool:
        """Whether it is decoded right."""
        if len(set(self.bits)) != 1 or len(set(self.kinds)) != 1:
            return False
        bits, (kind, *_), raw = self.bits[0], self.kinds, self.compression == "raw"
        if self.compression == "tiff_jpeg" or (self.compression == "jpeg" and bits != 8):
            return False
        if kind == FLOAT:
            grey = self.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) and len(self.bits) == 1
            # Pillow swaps the bytes that libtiff has swapped already.
            ordered = raw or self.order == "II"
            return grey and bits == 32 and ordered and self.predictor in (1, 3)
        if kind != UNSIGNED or self.predictor not in (1, 2):
            return False
        key = self.photometric, bits
        # Four samples of RGB without a word on the fourth are an alpha channel, by custom.
        extra = self.extra or (ALPHA if key[0] == RGB and len(self.bits) == 4 else ())
        if len(self.bits) != CHANNELS.get(self.photometric, 1) + len(extra):
            return False
        together = extra in CHUNKY.get(key, ())
        if self.low_bit_first:
            # Pillow does not turn the bits of planes, and lacks some of the readers.
            turned = extra == () and bits <= 8 and not self.planar and self.photometric <= PALETTE
            return together and turned and not (raw and key in NOT_TURNED)
        if self.photometric == YCBCR:
            return together and not raw and not self.planar
        if self.planar:
            return (*key, extra) in RAW_PLANES if raw else extra in PLANES.get(key, ())
        return together and not (self.order == "MM" and key in LITTLE_ENDIAN)


def check(image: TiffImageFile) -> None:
    """Raises InvalidImage for a layout that is not known to be decoded right."""
    layout = Layout.of(image.tag_v2, _order(image.tag_v2))
    if not layout.known:
        raise _refusal(layout)
    if layout.photometric == PALETTE:
        _widen_palette(image)


def explain(data: bytes) -> InvalidImage | None:
    """The refusal of a file that Pillow does not open; None where its layout is not why."""
    if data.startswith(BIG_ENDIAN_BIG):
        return InvalidImage("A big-endian BigTIFF is not supported. Save it as little-endian.")
    tags = ImageFileDirectory_v2(data[: 16 if 43 in data[2:4] else 8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    layout = Layout.of(tags, _order(tags))
    return None if layout.known else _refusal(layout)


def eight_bits(file: TiffImageFile) -> Image.Image:
    """The decoded image with 8 bits a sample where it has more. Raises InvalidImage for floats of
    which it is not clear what is white.
    """
    if file.mode == "La":
        return file.convert("LA")
    if file.mode == "RGBA" and EXTRA not in file.tag_v2:
        return without_unused_alpha(file)
    if file.mode not in ("I;16", "I;16B", "I", "F"):
        return file
    layout = Layout.of(file.tag_v2, _order(file.tag_v2))
    values = np.asarray(file)
    if file.mode == "F":
        levels = _float_levels(values)
    else:
        levels = (values.astype(np.uint32) >> (layout.bits[0] - 8)).astype(np.uint8)
    if layout.photometric == WHITE_IS_ZERO:
        levels = 255 - levels
    return Image.fromarray(levels)


def _float_levels(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    values = np.where(np.isnan(values), 0, values)
    lowest, highest = float(values.min()), float(values.max())
    if highest <= UNIT_FLOATS:
        scale = 255.0
    elif BYTE_FLOATS <= highest <= MAX_BYTE_FLOATS:
        scale = 1.0
    else:
        scale = 0.0
    if not scale or lowest * scale < -BYTE_FLOATS * 2:
        raise InvalidImage(
            "A TIFF of floating-point samples has values from 0 to 1 or from 0 to 255. "
            f"Received: from {lowest:g} to {highest:g}"
        )
    return np.clip(values * scale, 0, 255).astype(np.uint8)


def _widen_palette(image: TiffImageFile) -> None:
    """A color map's values have 16 bits; old programs wrote 8, and readers accept that."""
    colors = _numbers(image.tag_v2.get(COLOR_MAP, ()))
    if colors and max(colors) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(colors))


def _refusal(layout: Layout) -> InvalidImage:
    return InvalidImage(
        f"This layout of a TIFF is not supported: {layout}. Save it with 8 bits a sample, as RGB "
        "or grey."
    )


def _order(tags: ImageFileDirectory_v2) -> str:
    return bytes(tags.prefix[:2]).decode("ascii")


def _number(value: Any) -> int:
    """-1 for what is no number: no layout has it."""
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, int) else -1


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(map(_number, value if isinstance(value, tuple) else (value,)))
