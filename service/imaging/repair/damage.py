"""Says of a file that can't be read, nor repaired, what is wrong with it."""

from __future__ import annotations

import struct

from service.errors import InvalidImage
from service.imaging.limits.heif import boxes_of

# How Pillow begins what it says of data that it can't decode, and what a user can do with.
DECODING_REASONS = {
    "image file is truncated": "its data ends before its last pixel",
    "broken data stream": "its data is damaged",
    "decoder error": "its data is damaged",
}
# RFC 9649: a file's size counts from behind these bytes.
RIFF_HEADER_BYTES = 8
# TIFF 6.0, section 2, and BigTIFF: where the first directory is.
TIFF_OFFSETS = {b"II*\0": "<4xI", b"MM\0*": ">4xI", b"II+\0": "<8xQ", b"MM\0+": ">8xQ"}


def reason_of(error: Exception) -> str:
    """What Pillow's exception says, for the person who sent the image."""
    if isinstance(error, MemoryError):
        return "it needs more memory than an image of its size may take"
    text = str(error) or type(error).__name__
    found = (reason for start, reason in DECODING_REASONS.items() if text.startswith(start))
    return next(found, text)


def riff_bytes(data: bytes) -> int:
    """How long a RIFF says that it is. Raises struct.error for less than its header."""
    return RIFF_HEADER_BYTES + int(struct.unpack_from("<4xI", data)[0])


def isobmff_bytes(data: bytes) -> int:
    """Where the last box ends whose beginning is there."""
    return max((box.stop for box in boxes_of(data, 0, len(data))), default=0)


def tiff_bytes(data: bytes) -> int:
    """Up to the first byte of a TIFF's first directory. Raises struct.error as above."""
    layout = TIFF_OFFSETS.get(data[:4])
    return 0 if layout is None else 1 + int(struct.unpack_from(layout, data)[0])


def truncated(name: str, stated_bytes: int, received_bytes: int) -> InvalidImage | None:
    """The refusal of a file that ends before its header says; None of any other."""
    if stated_bytes <= received_bytes:
        return None
    return InvalidImage(
        f"The {name} image is truncated: it has at least {stated_bytes} bytes. "
        f"Received: {received_bytes} bytes"
    )
