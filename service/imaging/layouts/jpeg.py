"""Kinds of JPEG that are refused by name (ITU-T T.81, table B.1, and T.87), and filled up ones."""

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
SCAN, END, FILLED = b"\xff\xda", b"\xff\xd9", bytes(64)


def check(image: JpegImageFile) -> None:
    """Raises InvalidImage. Takes away the zeros of a file that lacks its end."""
    if not isinstance(image.fp, io.BytesIO):
        return
    data = image.fp.getvalue()
    refusal = explain(data)
    if refusal is not None:
        raise refusal
    if data.endswith(FILLED) and END not in data[data.rindex(SCAN) if SCAN in data else 0 :]:
        # A download that broke off: libjpeg would decode the zeros.
        position = image.fp.tell()
        image.fp = io.BytesIO(data.rstrip(b"\0"))
        image.fp.seek(position)


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
