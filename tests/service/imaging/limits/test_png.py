"""Files of millions of parts are refused before a reader begins to count."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from service.errors import ImageTooLarge, InvalidImage
from service.imaging.decoder import decode, open_image
from service.imaging.limits.jpeg import (
    MAX_ENTRIES,
    MAX_EXIF_SEGMENTS,
    MAX_PARTS,
    SEARCHED_BYTES,
    check_structure,
    gif_size,
)
from tests.service.images import encoded, header_alone, noise, png_chunk, recipe, runs_bmp

IMAGE = noise(24, 24)
JPEG, PNG, GIF = (encoded(IMAGE, format) for format in ("JPEG", "PNG", "GIF"))
PROGRESSIVE = encoded(IMAGE, "JPEG", progressive=True)
EXIF = b"\xff\xe1" + struct.pack(">H", 8) + b"Exif\0\0"
COMMENT = b"!\xfe" + b"\x01x"


def with_scans(count: int) -> bytes:
    """That many of the last scan of a progressive image, which refines what is there."""
    last = PROGRESSIVE.rindex(b"\xff\xda")
    already = PROGRESSIVE.count(b"\xff\xda") - 1
    return PROGRESSIVE[:last] + PROGRESSIVE[last:-2] * (count - already) + b"\xff\xd9"


def after(data: bytes, place: int, part: bytes, count: int) -> bytes:
    return data[:place] + part * count + data[place:]


def gif_with(blocks: int) -> bytes:
    start = GIF.index(b",\0\0\0\0")
    # The extension's own end is a block too.
    return GIF[:start] + b"!\xfe" + b"\x01x" * (blocks - 2) + b"\0" + GIF[start:]


def jpeg_parts(count: int) -> int:
    """How many more the plain JPEG can have."""
    return count - (JPEG.count(b"\xff\xdb") + JPEG.count(b"\xff\xc4") + 2)


PNG_CHUNKS = PNG.count(b"IHDR") + PNG.count(b"IDAT")


@pytest.mark.parametrize(
    ("most", "too_many", "said"),
    [
        (
            after(JPEG, 2, EXIF, MAX_EXIF_SEGMENTS),
            after(JPEG, 2, EXIF, MAX_EXIF_SEGMENTS + 1),
            "64 Exif segments",
        ),
        (
            after(JPEG, 2, b"\xff\xec\0\x02", jpeg_parts(MAX_PARTS)),
            after(JPEG, 2, b"\xff\xec\0\x02", MAX_PARTS),
            "parts before its first scan",
        ),
        (JPEG, after(JPEG, JPEG.index(b"\xff\xdb"), b"\0", MAX_PARTS), "parts before"),
        (JPEG, after(JPEG, JPEG.index(b"\xff\xdb"), b"\xff", MAX_PARTS), "parts before"),
        (
            after(PNG, 33, png_chunk(b"teSt", b""), MAX_PARTS - PNG_CHUNKS),
            after(PNG, 33, png_chunk(b"teSt", b""), MAX_PARTS - PNG_CHUNKS + 1),
            "10000 chunks",
        ),
        (gif_with(MAX_PARTS - 1), gif_with(MAX_PARTS + 1), "blocks before its first frame"),
        (GIF, after(GIF, GIF.index(b",\0\0\0\0"), b"\0", MAX_PARTS + 1), "blocks before"),
    ],
    ids=["Exif", "segments", "junk", "fill", "chunks", "comments", "zeros"],
)
def test_so_many_and_no_more(most: bytes, too_many: bytes, said: str) -> None:
    assert decode(most, recipe(16, 14), max_pixels=1000).shape == (14, 14, 3)
    with pytest.raises(InvalidImage, match=said):
        decode(too_many, recipe(16, 14), max_pixels=1000)


@pytest.mark.parametrize(
    ("part", "count"),
    [(b"", 0), (b"\xff\xd0", 1), (b"\xff\xff\xd0", 2), (b"\xff\xfe\0\x01", 1)],
    ids=["zeros", "a marker without a length", "a byte that fills", "a length of one"],
)
def test_a_jpeg_is_walked_as_pillow_walks_it(part: bytes, count: int) -> None:
    """Each is so many steps, of as many bytes as Pillow takes; the next begins behind them."""
    zeros = b"\0" * (jpeg_parts(MAX_PARTS) - count)
    tables = JPEG.index(b"\xff\xdb")
    check_structure(after(JPEG, tables, part + zeros, 1))
    with pytest.raises(InvalidImage, match="parts before its first scan"):
        check_structure(after(JPEG, tables, part + zeros + b"\0", 1))


@pytest.mark.parametrize("flags", [0x07, 0x80], ids=["no color table", "two colors"])
def test_a_gif_is_walked_from_behind_its_colors(flags: int) -> None:
    """Of sizes that are given where there is no table nothing is stepped over."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 24, 24, flags, 0, 0)
    screen += bytes(6) if flags & 0x80 else b""
    # Each comment has its introducer, one byte, and an end.
    comments, frame = (b"!\xfe\x01x\0" * (MAX_PARTS // 3)), b",\0\0\0\0"
    check_structure(screen + b"\0" * (MAX_PARTS % 3) + comments + frame)
    with pytest.raises(InvalidImage, match="blocks before its first frame"):
        check_structure(screen + b"\0" * (MAX_PARTS % 3 + 1) + comments + frame)


def test_a_tiff_that_ends_before_its_directory_is_left_to_the_reader() -> None:
    for end in range(4, 8):
        check_structure(b"II*\0\x08\0\0\0"[:end])


def test_a_scan_costs_what_the_image_has_pixels() -> None:
    assert decode(with_scans(21), recipe(16, 14), max_pixels=1000).shape == (14, 14, 3)
    header = header_alone("JPEG", 8160, 6120)
    # Its own, and more of every number of components, each where two searches meet.
    scans = [b"\xff\xda\0" + bytes([6 + 2 * number, number]) for number in (1, 2, 3, 4)] * 5
    data = bytearray(SEARCHED_BYTES * len(scans))
    data[: len(header)] = header
    for number, scan in enumerate(scans[:-1], start=1):
        place = number * SEARCHED_BYTES - number % 6
        data[place : place + len(scan)] = scan
    open_image(bytes(data), max_pixels=50_000_000)
    data[-5:] = scans[-1]
    with pytest.raises(InvalidImage, match="may have 20 scans of 49939200 pixels"):
        open_image(bytes(data), max_pixels=50_000_000)


def test_the_beginning_of_a_scan_costs_what_ten_thousand_pixels_do() -> None:
    scan = b"\xff\xda\0\x08\x01"
    decode(JPEG + scan * 99_999, recipe(16, 14), max_pixels=1000)
    with pytest.raises(InvalidImage, match="may have 100000 scans of 576 pixels"):
        decode(JPEG + scan * 100_000, recipe(16, 14), max_pixels=1000)


@pytest.mark.parametrize("almost", [b"\0\x08\x02", b"\0\x10\x05", b"\0\x06\0", b"\x01\x08\x01"])
def test_what_no_decoder_takes_for_a_scan_is_none(almost: bytes) -> None:
    decode(JPEG + (b"\xff\xda" + almost) * 100_001, recipe(16, 14), max_pixels=1000)


def test_segments_behind_markers_without_a_length_count_too() -> None:
    """Taken for a length, what follows the marker would hide a segment of 64 kB from the count."""
    hidden = b"\xff\xd0\xff\xff" + b"\xff\xec\0\x02" * (MAX_PARTS + 1)
    with pytest.raises(InvalidImage, match="parts before its first scan"):
        decode(after(JPEG, 2, hidden, 1), recipe(16, 14), max_pixels=1000)


def tiff(entries: int, order: str) -> bytes:
    """A directory of as many entries, all the same."""
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entry = struct.pack(order + "HHII", 254, 4, 1, 0)
    return magic + struct.pack(order + "IH", 8, entries) + entry * entries + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
def test_entries_of_a_tiff(order: str) -> None:
    check_structure(tiff(MAX_ENTRIES, order))
    with pytest.raises(InvalidImage, match="may have 4096 entries in its directory"):
        check_structure(tiff(MAX_ENTRIES + 1, order))


@pytest.mark.parametrize("magic", [b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"])
def test_entries_of_a_large_tiff(magic: bytes) -> None:
    order = "<" if magic.startswith(b"II") else ">"
    check_structure(magic + struct.pack(order + "QQ", 16, MAX_ENTRIES))
    with pytest.raises(InvalidImage, match="entries"):
        check_structure(magic + struct.pack(order + "QQ", 16, 2**63))


# A run of one pixel; an end of a line; a step to where it is.
RUN, LINE_END, NO_STEP = b"\x01\x07", b"\0\0", b"\0\x02\0\0"


def test_a_bitmap_in_the_most_runs_that_its_pixels_can_be() -> None:
    runs = (RUN * 64 + LINE_END) * 64
    pixels = decode(runs_bmp(64, 64, runs), recipe(16, 14), max_pixels=5000)
    assert pixels.shape == (14, 14, 3)


def test_runs_that_no_pixel_needs() -> None:
    """Pillow goes through what does nothing as long as the image is not full."""
    most = 2 * 65 * 64 + 1024
    open_image(runs_bmp(64, 64, NO_STEP * (most // 4)), max_pixels=5000)
    with pytest.raises(InvalidImage, match=f"may have {most} bytes of packed runs"):
        open_image(runs_bmp(64, 64, NO_STEP * (most // 4) + b"\0"), max_pixels=5000)


def test_so_many_runs_whatever_there_is_to_fill() -> None:
    runs = NO_STEP * (2**17 // 4)
    open_image(runs_bmp(1024, 1024, runs), max_pixels=2_000_000)
    with pytest.raises(InvalidImage, match="may have 131072 bytes of packed runs"):
        open_image(runs_bmp(1024, 1024, runs + b"\0"), max_pixels=2_000_000)


def test_pixels_that_are_packed_by_runs() -> None:
    """A few bytes a line, and Pillow adds the rest of it pixel by pixel."""
    open_image(runs_bmp(1024, 1024, (RUN + LINE_END) * 1024), max_pixels=2_000_000)
    with pytest.raises(InvalidImage, match="may have 1048576 pixels packed by runs"):
        open_image(runs_bmp(1024, 1025, b""), max_pixels=2_000_000)
    open_image(encoded(Image.new("L", (1024, 1025)), "BMP"), max_pixels=2_000_000)


@pytest.mark.parametrize("data", [JPEG, PNG, gif_with(4)], ids=["JPEG", "PNG", "GIF"])
def test_a_broken_file_is_left_to_the_reader(data: bytes) -> None:
    for end in range(len(data)):
        check_structure(data[:end])


@pytest.mark.parametrize("data", [JPEG, PNG, GIF], ids=["JPEG", "PNG", "GIF"])
def test_what_follows_the_image_does_not_count(data: bytes) -> None:
    decode(data + bytes(1_000_000), recipe(16, 14), max_pixels=1000)


def test_chance_is_no_scan() -> None:
    """A film behind a photo, as phones write it, has the two bytes of a marker here and there."""
    data = JPEG + b"\xff\xda\x31\x07" * 1000
    decode(data, recipe(16, 14), max_pixels=1000)


def test_every_encoders_parts_are_few(recwarn: pytest.WarningsRecorder) -> None:
    large = Image.effect_noise((1500, 1500), 90)
    for options in ({"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}):
        check_structure(encoded(large, "JPEG", **options))
    check_structure(encoded(large, "PNG"))
    check_structure(encoded(large, "GIF"))
    assert not recwarn


@pytest.mark.parametrize(
    ("screen", "frame"),
    [((9000, 7000), (0, 0, 24, 24)), ((24, 24), (100, 50, 8900, 6950))],
    ids=["a screen", "a frame beyond it"],
)
def test_no_room_is_made_for_a_gif_before_its_size_is_known(
    monkeypatch: pytest.MonkeyPatch, screen: tuple[int, int], frame: tuple[int, int, int, int]
) -> None:
    """Pillow fills a frame that is to be cleared afterwards while it reads the header."""

    def fill(*_: object) -> None:
        raise AssertionError("room was made")

    monkeypatch.setattr("PIL.Image.core.fill", fill)
    cleared = b"!\xf9\x04\x08\0\0\0\0"
    start = GIF.index(b",\0\0\0\0")
    pixels = GIF[start + 9 :]
    data = GIF[:6] + struct.pack("<HH", *screen) + GIF[10:start] + cleared
    data += b"," + struct.pack("<HHHH", *frame) + pixels
    with pytest.raises(ImageTooLarge, match="Received: 9000 x 7000 = 63000000"):
        open_image(data, max_pixels=50_000_000)
    with pytest.raises(ImageTooLarge, match=f"{len(data)} bytes of GIF may unpack to 40000000"):
        open_image(data, max_pixels=63_000_000)


def test_the_size_of_a_gif_that_ends_before_it_says_it() -> None:
    said = GIF.index(b",\0\0\0\0") + 9
    assert {gif_size(GIF[:end]) for end in range(said)} == {(0, 0)}
    assert gif_size(GIF[:said]) == (24, 24)


def test_a_grey_gif_has_a_value_a_pixel() -> None:
    """Its palette is looked at by its reader; before that it is taken for grey."""
    assert open_image(header_alone("GIF", 6000, 6000), max_pixels=50_000_000).mode == "L"
