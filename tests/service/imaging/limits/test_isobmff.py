"""An AVIF's samples, boxes and entries are counted before libavif reads them."""

from __future__ import annotations

import struct

import pytest

from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
from service.imaging.decoder import decode
from service.imaging.limits.dimensions import MAX_FRAMES
from service.imaging.limits.isobmff import check_frames, count_samples
from tests.service.images import box, recipe
from tests.service.imaging.avif import (
    FILM,
    IMAGE,
    avif_copies,
    avif_extents,
    avif_film,
    avif_items,
    avif_meta,
    avif_references,
    full_box,
    track,
)

TOO_MANY = r"may have 6000 entries in its tables of items\. Received: more"


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        (avif_items(6000), avif_items(6001)),
        (avif_items(6000, wide=True), avif_items(6001, wide=True)),
        (avif_extents([0] * 2000 + [1] * 2000 + [2] * 1000), avif_extents([1] * 5999 + [2])),
        (avif_extents([0, 5999], sizes=0x4484), avif_extents([6001], sizes=0x4484)),
        (
            avif_extents([1, 5999], version=1, sizes=0x8888),
            avif_extents([0, 6000], version=1, sizes=8),
        ),
        (avif_extents([5999, 1], version=2, sizes=4), avif_extents([5999, 2], version=2, sizes=4)),
        (
            avif_extents([5000, 1000], version=1, sizes=0x4884),
            avif_extents([5000, 1001], version=1, sizes=0x4884),
        ),
        (
            avif_extents([5000, 1000], version=1, sizes=0x1111),
            avif_extents([5000, 1001], version=1, sizes=0x1111),
        ),
        (avif_extents([1] * 6000), avif_extents([1] * 6001)),
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
        "items",
        "items with IDs of four bytes",
        "extents",
        "extents with bases",
        "extents with indices",
        "extents of items with IDs of four bytes",
        "extents that are skipped",
        "small extents that are skipped",
        "items with one extent",
        "references",
        "references with IDs of four bytes",
        "associations",
        "associations with IDs of four bytes",
        "associations with indices of two bytes",
        "bytes of properties",
        "bytes of the hundredth property",
        "associations with index 0, no property",
        "items without properties",
        "color profiles, which are not copied",
    ],
)
def test_limit_of_entries(allowed: bytes, refused: bytes) -> None:
    assert count_samples(allowed) == 0
    with pytest.raises(InvalidImage, match=TOO_MANY):
        count_samples(refused)


def test_entries_of_all_tables_count_together() -> None:
    tables = [avif_items(1500), avif_extents([1] * 1500), avif_references([1499])]
    start = len(avif_meta())
    count_samples(avif_meta(*(table[start:] for table in tables), avif_copies(750, 1, 0)[start:]))
    with pytest.raises(InvalidImage, match=TOO_MANY):
        count_samples(
            avif_meta(*(table[start:] for table in tables), avif_copies(751, 1, 0)[start:])
        )


@pytest.mark.parametrize("kind", [b"moov", b"ipco", b"iref", b"stsz", b"iinf"])
def test_a_property_counts_whatever_its_type(kind: bytes) -> None:
    assert count_samples(avif_copies(6, 249, 4096 * 4 - 1, kind=kind)) == 0
    with pytest.raises(InvalidImage, match=TOO_MANY):
        count_samples(avif_copies(6, 249, 4096 * 4, kind=kind))


@pytest.mark.parametrize("kind", [b"moov", b"ipco", b"stsz", b"iinf"])
def test_a_reference_counts_whatever_its_type(kind: bytes) -> None:
    data = avif_references([0] * 1500 + [4500])
    with pytest.raises(InvalidImage, match=TOO_MANY):
        count_samples(data.replace(b"dimg", kind))


def test_each_list_of_properties_has_its_own_indices() -> None:
    """A film has a list, and then its image, whose first property is large."""
    few, large = avif_copies(1, 1, 8), avif_copies(6, 249, 4096 * 4)
    assert count_samples(few + large[len(IMAGE) :].replace(b"uuid", b"colr")) == 0
    with pytest.raises(InvalidImage, match=TOO_MANY):
        count_samples(few + large[len(IMAGE) :])


@pytest.mark.parametrize(
    "hostile",
    [
        avif_items(60_000),
        avif_extents([65_535] * 400),
        avif_references([65_535]),
        avif_copies(10, 255, 2**20),
    ],
    ids=["items", "extents", "references", "copies"],
)
def test_entries_are_limited_before_libavif_reads_them(hostile: bytes) -> None:
    with pytest.raises(InvalidImage, match=TOO_MANY):
        decode(hostile, recipe(16, 14), max_pixels=1000)


def film(samples: int, **options: bool) -> bytes:
    """A track whose table states its samples. options: of every box."""
    table = box(b"stsz", struct.pack(">III", 0, 1, samples), **options)
    for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        table = box(kind, box(b"free", b"") + table, **options)
    return box(b"ftyp", b"avis\0\0\0\0avis") + box(b"mdat", bytes(40)) + table


@pytest.mark.parametrize("options", [{}, {"long": True}, {"open_end": True}], ids=str)
def test_limit_of_samples(options: dict[str, bool]) -> None:
    """libavif would allocate room for four billion, stated by a few hundred bytes."""
    check_frames(film(5, **options), 5)
    with pytest.raises(ImageTooLarge, match="Received: 4294967295 or more"):
        check_frames(film(2**32 - 1, **options), MAX_FRAMES)


@pytest.mark.parametrize("options", [{}, {"long": True}], ids=str)
def test_a_truncated_track_is_left_to_the_reader(options: dict[str, bool]) -> None:
    """Of a number that is cut off, the bytes that are there count."""
    data = film(9, **options)
    for end in range(len(data)):
        check_frames(data[:end], 1)


def test_a_film_that_is_not_an_avif_is_another_format() -> None:
    with pytest.raises(UnsupportedMedia):
        decode(film(1800).replace(b"avis", b"isom"), recipe(16, 14), max_pixels=1000, max_frames=1)


@pytest.mark.parametrize("kind", [b"stco", b"co64", b"stsc", b"stts", b"stss", b"stsd"])
def test_the_largest_table_of_a_track_counts(kind: bytes) -> None:
    sizes = full_box(b"stsz", 0, struct.pack(">II", 1, 2))
    table = full_box(kind, 0, struct.pack(">I", 7))
    assert count_samples(FILM + box(b"moov", track(sizes, table))) == 7
    assert count_samples(FILM + box(b"moov", track(table, sizes, table))) == 14


def test_the_longest_of_several_tracks_counts() -> None:
    def sizes(count: int) -> bytes:
        return full_box(b"stsz", 0, struct.pack(">II", 1, count))

    color, alpha = track(sizes(900)), track(sizes(800))
    assert count_samples(FILM + box(b"moov", color + alpha)) == 900
    assert count_samples(FILM + box(b"moov", alpha + color)) == 900
    # A `trak` inside a track is not a track.
    assert (
        count_samples(FILM + box(b"moov", track(sizes(900), box(b"trak", b""), sizes(800)))) == 1700
    )


def test_a_film_of_few_samples_in_many_chunks() -> None:
    assert count_samples(avif_film(1000, 1000)) == 1000
    assert count_samples(avif_film(3, 1001)) == 1001


def test_limit_of_boxes() -> None:
    """A box without a whole header does not count."""
    free = box(b"free", b"")
    count_samples(FILM + free * 1999 + free[:7])
    with pytest.raises(InvalidImage, match=r"may have 2000 boxes\. Received: more"):
        count_samples(FILM + free * 2000)


def test_boxes_before_a_track_are_counted() -> None:
    brand, table = box(b"ftyp", b"avis"), box(b"stsz", struct.pack(">III", 0, 1, 9))
    with pytest.raises(ImageTooLarge, match="Received: 9 or more"):
        check_frames(brand + box(b"free", b"") * 1998 + table, 1)
    with pytest.raises(InvalidImage, match="may have 2000 boxes"):
        check_frames(brand + box(b"free", b"") * 1999 + table, 1)


def test_a_box_that_is_smaller_than_its_header_ends_the_file() -> None:
    check_frames(box(b"ftyp", b"avis") + struct.pack(">I4s", 7, b"moov") + film(9)[24:], 1)


def test_a_track_behind_a_box_with_a_length_of_eight_bytes() -> None:
    moov = box(b"moov", track(full_box(b"stsz", 0, struct.pack(">II", 1, 9))))
    assert count_samples(FILM + box(b"free", bytes(300), long=True) + moov) == 9


@pytest.mark.parametrize(
    "data",
    [
        avif_items(3),
        avif_extents([1, 2, 3], version=1, sizes=0x4444),
        avif_references([2, 2]),
        avif_copies(2, 3, 5, wide=True),
    ],
    ids=["items", "extents", "references", "copies"],
)
def test_a_truncated_file_is_left_to_the_reader(data: bytes) -> None:
    for end in range(len(data)):
        count_samples(data[:end])
