"""A WebP's frames are counted before Pillow reads the file."""

from __future__ import annotations

import struct

import pytest

from service.errors import ImageTooLarge, InvalidImage
from service.imaging.limits.webp import check_frames


def webp(chunks: bytes, size: int | None = None) -> bytes:
    """size: what the file states; its true one where None."""
    length = len(chunks) + 4 if size is None else size
    return b"RIFF" + struct.pack("<I", length) + b"WEBP" + chunks


@pytest.mark.parametrize("length", [0, 3, 4])
def test_bytes_behind_the_stated_end_are_not_counted(length: int) -> None:
    frame = b"ANMF" + struct.pack("<I", length) + bytes(length + length % 2)
    data = webp(b"XMP \x01\x00\x00\x00a\x00" + frame * 4)
    check_frames(data + frame * 9, 4)
    with pytest.raises(ImageTooLarge, match="Received: 4 or more"):
        check_frames(data, 3)


def test_the_stated_end_may_lie_behind_the_file() -> None:
    """All four bytes of it are read. A frame whose header it cuts off does not count."""
    frames = (b"ANMF" + bytes(4)) * 4
    for size in (36, 37, 2**24, 2**32 - 1):
        check_frames(webp(frames, size), 4)
        with pytest.raises(ImageTooLarge, match="Received: 4 or more"):
            check_frames(webp(frames, size), 3)
    check_frames(webp(frames, 35), 3)


def test_limit_of_chunks_beside_frames() -> None:
    chunk = b"JUNK\x00\x00\x00\x00"
    check_frames(webp(chunk * 10_999), 1000)
    with pytest.raises(InvalidImage, match="may have 11000 parts"):
        check_frames(webp(chunk * 11_000), 1000)
