"""A TIFF's entries and pages are counted before Pillow reads the file."""

from __future__ import annotations

import struct

import pytest

from service.errors import ImageTooLarge, InvalidImage
from service.imaging.limits.dimensions import MAX_FRAMES
from service.imaging.limits.tiff import MAX_ENTRIES, check_entries, check_frames

MAGIC = {"<": b"II*\0", ">": b"MM\0*"}
BIG_MAGIC = {"<": b"II+\0\x08\0\0\0", ">": b"MM\0+\0\x08\0\0"}
ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])


def with_entries(count: int, order: str) -> bytes:
    """A directory of `count` equal entries."""
    entry = struct.pack(order + "HHII", 254, 4, 1, 0)
    return MAGIC[order] + struct.pack(order + "IH", 8, count) + entry * count + bytes(4)


def with_pages(order: str, *following: int) -> bytes:
    """Empty directories of six bytes, each of which states the position of the next."""
    directories = b"".join(struct.pack(order + "HI", 0, position) for position in following)
    return MAGIC[order] + struct.pack(order + "I", 8) + directories


@ORDERS
def test_limit_of_entries(order: str) -> None:
    check_entries(with_entries(MAX_ENTRIES, order))
    with pytest.raises(InvalidImage, match="may have 4096 entries in its directory"):
        check_entries(with_entries(MAX_ENTRIES + 1, order))


@ORDERS
def test_limit_of_entries_of_a_bigtiff(order: str) -> None:
    check_entries(BIG_MAGIC[order] + struct.pack(order + "QQ", 16, MAX_ENTRIES))
    with pytest.raises(InvalidImage, match="entries"):
        check_entries(BIG_MAGIC[order] + struct.pack(order + "QQ", 16, 2**63))


@pytest.mark.parametrize("end", range(4, 8))
def test_a_file_that_ends_before_its_directory_is_left_to_the_reader(end: int) -> None:
    check_entries(b"II*\0\x08\0\0\0"[:end])


@ORDERS
def test_pages_that_follow_each_other_in_a_circle(order: str) -> None:
    for last in (8, 14, 0, 20, 99):
        data = with_pages(order, 14, last)
        check_frames(data, 2)
        with pytest.raises(ImageTooLarge, match="Received: 2 or more"):
            check_frames(data, 1)


@ORDERS
def test_pages_of_a_bigtiff(order: str) -> None:
    entry = struct.pack(order + "HHQQ", 254, 4, 1, 0)
    first = struct.pack(order + "Q", 2) + entry * 2 + struct.pack(order + "Q", 72)
    data = BIG_MAGIC[order] + struct.pack(order + "Q", 16) + first
    data += struct.pack(order + "QQ", 0, 16)
    check_frames(data, 2)
    with pytest.raises(ImageTooLarge, match="Received: 2 or more"):
        check_frames(data, 1)


def test_a_position_of_43_does_not_make_a_bigtiff() -> None:
    """43 is the version of a BigTIFF; here it is the position of the first page."""
    data = b"II*\0" + struct.pack("<I", 43) + bytes(35) + struct.pack("<HI", 0, 49)
    check_frames(data + bytes(6), 2)
    with pytest.raises(ImageTooLarge, match="Received: 2 or more"):
        check_frames(data + bytes(6), 1)


@ORDERS
def test_a_page_that_overlaps_the_header(order: str) -> None:
    """It begins at the second byte, so it has thousands of entries; another page may follow."""
    magic = MAGIC[order] + struct.pack(order + "I", 1)
    end = 3 + 12 * struct.unpack_from(order + "H", magic, 1)[0]
    data = magic.ljust(end, b"\0") + struct.pack(order + "IHI", end + 4, 0, 0)
    check_frames(data, 2)
    with pytest.raises(ImageTooLarge, match="Received: 2 or more"):
        check_frames(data, 1)


@pytest.mark.parametrize("entries", [1, 2, 2**64 - 1])
def test_a_truncated_page_counts(entries: int) -> None:
    """Truncated by a byte, by all of it, or by more than any file could have."""
    large = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, entries)
    for length in (0, 20, 27, 28):
        check_frames(large + bytes(length), 1)
    small = b"II*\0" + struct.pack("<IH", 8, min(entries, 2**16 - 1))
    for length in (0, 12, 15, 16):
        check_frames(small + bytes(length), 1)


def test_counting_stops_at_one_page_too_many() -> None:
    positions = range(14, 14 + 6 * 100_000, 6)
    with pytest.raises(ImageTooLarge, match=r"may have 1000 .* Received: 1001 or more"):
        check_frames(with_pages("<", *positions), MAX_FRAMES)
