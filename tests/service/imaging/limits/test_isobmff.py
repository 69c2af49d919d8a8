"""What an AVIF's reader would go through for seconds is counted first, and refused."""

from __future__ import annotations

import struct

import pytest

from service.errors import InvalidImage
from service.imaging.decoder import decode
from service.imaging.limits.isobmff import count_samples
from tests.service.images import box, recipe
from tests.service.imaging.avif import (
    FILM,
    IMAGE,
    avif_copies,
    avif_film,
    avif_items,
    avif_meta,
    avif_parts,
    avif_references,
    full_box,
    track,
)

TOO_MANY = r"may have 6000 entries in its tables of items\. Received: more"


@pytest.mark.parametrize(
    ("most", "too_many"),
    [
        (avif_items(6000), avif_items(6001)),
        (avif_items(6000, wide=True), avif_items(6001, wide=True)),
        (avif_parts([0] * 2000 + [1] * 2000 + [2] * 1000), avif_parts([1] * 5999 + [2])),
        (avif_parts([0, 5999], sizes=0x4484), avif_parts([6001], sizes=0x4484)),
        (avif_parts([1, 5999], version=1, sizes=0x8888), avif_parts([0, 6000], version=1, sizes=8)),
        (avif_parts([5999, 1], version=2, sizes=0x4), avif_parts([5999, 2], version=2, sizes=4)),
        (
            avif_parts([5000, 1000], version=1, sizes=0x4884),
            avif_parts([5000, 1001], version=1, sizes=0x4884),
        ),
        (
            avif_parts([5000, 1000], version=1, sizes=0x1111),
            avif_parts([5000, 1001], version=1, sizes=0x1111),
        ),
        (avif_parts([1] * 6000), avif_parts([1] * 6001)),
        (avif_references([999, 4999]), avif_references([0, 5999])),
        (avif_references([5999], version=1), avif_references([5999, 0], version=1)),
        (avif_copies(24, 249, 0), avif_copies(24, 250, 0)),
        (avif_copies(3000, 1, 0, version=1), avif_copies(3001, 1, 0, version=1)),
        (avif_copies(1500, 3, 0, wide=True), avif_copies(1501, 3, 0, wide=True)),
        # Each is an entry, and one for each 4096 bytes that are copied.
        (avif_copies(6, 249, 4096 * 4 - 1), avif_copies(6, 249, 4096 * 4)),
        (
            avif_copies(6, 249, 4096 * 4 - 1, others=99, named=100),
            avif_copies(6, 249, 4096 * 4, others=99, named=100),
        ),
        (avif_copies(24, 249, 2**20, named=0), avif_copies(24, 250, 2**20, named=0)),
        (avif_copies(6000, 0, 0), avif_copies(6001, 0, 0)),
        (avif_copies(24, 249, 2**20, kind=b"colr"), avif_copies(24, 250, 2**20, kind=b"colr")),
    ],
    ids=[
        "named",
        "named, in four bytes",
        "places",
        "places, with bases",
        "places, with indices",
        "places, in four bytes",
        "places, of parts that are stepped over",
        "places, of small parts that are stepped over",
        "places, of items",
        "references",
        "references, in four bytes",
        "properties",
        "properties, in four bytes",
        "properties, named in two bytes",
        "bytes of properties",
        "bytes of the hundredth property",
        "properties that are none",
        "items without properties",
        "profiles, which are not copied",
    ],
)
def test_so_many_entries_about_items_and_no_more(most: bytes, too_many: bytes) -> None:
    assert count_samples(most) == 0
    with pytest.raises(InvalidImage, match=TOO_MANY):
        count_samples(too_many)


def test_entries_of_all_tables_count_together() -> None:
    tables = [avif_items(1500), avif_parts([1] * 1500), avif_references([1499])]
    start = len(avif_meta())
    count_samples(avif_meta(*(table[start:] for table in tables), avif_copies(750, 1, 0)[start:]))
    with pytest.raises(InvalidImage, match=TOO_MANY):
        count_samples(
            avif_meta(*(table[start:] for table in tables), avif_copies(751, 1, 0)[start:])
        )


@pytest.mark.parametrize("kind", [b"moov", b"ipco", b"iref", b"stsz", b"iinf"])
def test_a_property_is_one_whatever_it_calls_itself(kind: bytes) -> None:
    assert count_samples(avif_copies(6, 249, 4096 * 4 - 1, kind=kind)) == 0
    with pytest.raises(InvalidImage, match=TOO_MANY):
        count_samples(avif_copies(6, 249, 4096 * 4, kind=kind))


@pytest.mark.parametrize("kind", [b"moov", b"ipco", b"stsz", b"iinf"])
def test_a_reference_is_one_whatever_it_calls_itself(kind: bytes) -> None:
    data = avif_references([0] * 1500 + [4500])
    with pytest.raises(InvalidImage, match=TOO_MANY):
        count_samples(data.replace(b"dimg", kind))


def test_properties_are_numbered_anew_in_each_list() -> None:
    """One of the film's own, and then one of its image's, which is large."""
    few, large = avif_copies(1, 1, 8), avif_copies(6, 249, 4096 * 4)
    assert count_samples(few + large[len(IMAGE) :].replace(b"uuid", b"colr")) == 0
    with pytest.raises(InvalidImage, match=TOO_MANY):
        count_samples(few + large[len(IMAGE) :])


@pytest.mark.parametrize(
    "hostile",
    [
        avif_items(60_000),
        avif_parts([65_535] * 400),
        avif_references([65_535]),
        avif_copies(10, 255, 2**20),
    ],
    ids=["items", "parts", "references", "copies"],
)
def test_they_are_refused_before_their_reader_begins(hostile: bytes) -> None:
    with pytest.raises(InvalidImage, match=TOO_MANY):
        decode(hostile, recipe(16, 14), max_pixels=1000)


@pytest.mark.parametrize("kind", [b"stco", b"co64", b"stsc", b"stts", b"stss", b"stsd"])
def test_an_entry_of_any_table_of_a_track_is_a_sample(kind: bytes) -> None:
    sizes = full_box(b"stsz", 0, struct.pack(">II", 1, 2))
    table = full_box(kind, 0, struct.pack(">I", 7))
    assert count_samples(FILM + box(b"moov", track(sizes, table))) == 7
    assert count_samples(FILM + box(b"moov", track(table, sizes, table))) == 14


def test_the_longest_of_several_tracks() -> None:
    def sizes(count: int) -> bytes:
        return full_box(b"stsz", 0, struct.pack(">II", 1, count))

    color, alpha = track(sizes(900)), track(sizes(800))
    assert count_samples(FILM + box(b"moov", color + alpha)) == 900
    assert count_samples(FILM + box(b"moov", alpha + color)) == 900
    # A track within a track is none.
    assert (
        count_samples(FILM + box(b"moov", track(sizes(900), box(b"trak", b""), sizes(800)))) == 1700
    )


def test_boxes_are_counted_to_the_last_that_has_a_head() -> None:
    free = box(b"free", b"")
    count_samples(FILM + free * 1999 + free[:7])
    with pytest.raises(InvalidImage, match=r"may have 2000 boxes\. Received: more"):
        count_samples(FILM + free * 2000)


def test_a_track_behind_a_box_whose_length_is_a_long_one() -> None:
    film = box(b"moov", track(full_box(b"stsz", 0, struct.pack(">II", 1, 9))))
    assert count_samples(FILM + box(b"free", bytes(300), long=True) + film) == 9


def test_a_film_of_few_samples_in_many_chunks() -> None:
    assert count_samples(avif_film(1000, 1000)) == 1000
    assert count_samples(avif_film(3, 1001)) == 1001


@pytest.mark.parametrize(
    "data",
    [
        avif_items(3),
        avif_parts([1, 2, 3], version=1, sizes=0x4444),
        avif_references([2, 2]),
        avif_copies(2, 3, 5, wide=True),
    ],
    ids=["items", "parts", "references", "copies"],
)
def test_a_broken_file_is_left_to_the_reader(data: bytes) -> None:
    for end in range(len(data)):
        count_samples(data[:end])
