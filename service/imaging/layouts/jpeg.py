"""Kinds of JPEG that are refused by name: ITU-T T.81, table B.1, and T.87."""

from __future__ import annotations

import io

from PIL.JpegImagePlugin import JpegImageFile

from service.errors import InvalidImage
from service.imaging.limits.jpeg import frame_of

# The kinds that programs write, and that libjpeg decodes at every size.
HUFFMAN = {0xC0, 0xC1, 0xC2}
LOSSLESS = {0xC3: "lossless", 0xC7: "lossless", 0xCB: "lossless", 0xCF: "lossless"}
KINDS = {**dict.fromkeys(range(0xC5, 0xC8), "hierarchical"), **LOSSLESS}
KINDS |= dict.fromkeys((0xC9, 0xCA, 0xCD, 0xCE), "arithmetic-coded") | {0xF7: "JPEG-LS"}
BITS = 8


def check(image: JpegImageFile) -> None:
    """Raises InvalidImage."""
    data = image.fp.getvalue() if isinstance(image.fp, io.BytesIO) else b""
    refusal = explain(data)
    if refusal is not None:
        raise refusal


def explain(data: bytes) -> InvalidImage | None:
    """The refusal of a kind that is not supported; None of one that is, or where none is stated."""
    code, bits = frame_of(data)
    if code in KINDS:
        return InvalidImage(
            f"A JPEG that is {KINDS[code]} is not supported: baseline and progressive are."
        )
    if code in HUFFMAN and bits != BITS:
        return InvalidImage(f"A JPEG of {bits} bits a sample is not supported: only of {BITS}.")
    return None
