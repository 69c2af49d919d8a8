"""Frames, pages and images are counted before anything is decoded, and too many refused."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from PIL import Image, ImageFile, features

from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
from service.imaging.decoder import decode, open_image
from service.imaging.limits.gif import MAX_FRAMES, check_frames
from tests.service.images import box, encoded, noise, png_chunk, recipe

RECIPE = recipe(16, 14)
MAX_PIXELS = 10_000
FRAMES = [noise(24, 20, seed=number) for number in range(5)]
FORMATS: dict[str, dict[str, Any]] = {
    "GIF": {},
    "PNG": {},
    "PNG, with another image first": {"default_image": True},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "TIFF, big": {"big_tiff": True},
    "MPO": {},
}
if features.check("avif"):
    FORMATS["AVIF"] = {"speed": 10}


def animated(name: str, frames: list[Image.Image]) -> bytes:
    # An image remembers how it was saved.
    first, *rest = (frame.copy() for frame in frames)
    format = name.partition(",")[0]
    return encoded(first, format, save_all=True, append_images=rest, **FORMATS[name])


@pytest.fixture
def nothing_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: ImageFile.ImageFile) -> None:
        raise AssertionError(f"pixels of a {image.format} were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.usefixtures("nothing_decoded")
def test_so_many_frames_and_no_more(name: str) -> None:
    data = animated(name, FRAMES)
    count = Image.open(io.BytesIO(data)).n_frames  # type: ignore[attr-defined]
    assert count >= len(FRAMES)
    open_image(data, max_pixels=MAX_PIXELS, max_frames=count)
    with pytest.raises(ImageTooLarge) as refusal:
        open_image(data, max_pixels=MAX_PIXELS, max_frames=count - 1)
    assert str(refusal.value) == (
        f"An image may have {count - 1} frames, pages or images. Received: {count} or more"
    )


@pytest.mark.parametrize("name", [name for name in FORMATS if name[:3] not in ("PNG", "MPO")])
def test_they_are_counted_before_there_is_a_reader(name: str) -> None:
    data = animated(name, FRAMES)
    check_frames(data, len(FRAMES))
    with pytest.raises(ImageTooLarge, match="Received: 5 or more"):
        check_frames(data, len(FRAMES) - 1)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "BMP", "JPEG", "AVIF"])
def test_one_frame_is_all_that_a_still_image_has(format: str) -> None:
    if format in ("AVIF",) and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    decode(encoded(FRAMES[0], format), RECIPE, max_pixels=MAX_PIXELS, max_frames=1)


@pytest.mark.parametrize("name", ["GIF", "WEBP"])
def test_an_ordinary_animation_is_served(name: str) -> None:
    """Half a minute of sixty frames a second would be too long; of thirty it is not."""
    frames = [Image.new("L", (8, 8), number % 256) for number in range(900)]
    assert decode(animated(name, frames), RECIPE, max_pixels=MAX_PIXELS).shape == (14, 14, 3)


def gif(parts: bytes, aspect: int = 0) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, aspect) + parts


GIF_FRAME = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
COLORS = bytes(6)


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"!\xfe\x05a,b;c\x00", id="a comment"),
        pytest.param(b"!\xf9\x04\x00\x0a\x00\x00\x00", id="a control extension"),
        pytest.param(b"\x00\x00\x07", id="bytes that belong to nothing"),
    ],
)
def test_frames_of_a_gif_whatever_lies_between_them(between: bytes) -> None:
    local = GIF_FRAME[:9] + b"\x80" + COLORS + GIF_FRAME[10:]
    # Interlaced, and with the size of a table that is not there.
    interlaced = GIF_FRAME[:9] + b"\x47" + GIF_FRAME[10:]
    frames = between.join([local, interlaced, GIF_FRAME])
    # What follows the end is another file.
    for data in (gif(frames + b";" + GIF_FRAME), gif(frames)):
        check_frames(data, 3)
        with pytest.raises(ImageTooLarge, match=r"Received: 3 or more"):
            check_frames(data, 2)


@pytest.mark.parametrize("aspect", b",!;")
def test_no_part_of_a_gif_begins_with_the_shape_of_its_pixels(aspect: int) -> None:
    """The header's last byte: a bit narrower or wider than they are high, and no frame, no end."""
    data = gif(GIF_FRAME * 3 + b";", aspect)
    check_frames(data, 3)
    with pytest.raises(ImageTooLarge, match="Received: 3 or more"):
        check_frames(data, 2)


@pytest.mark.parametrize("bits", range(8))
def test_a_table_of_colors_is_not_searched_for_frames(bits: int) -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80 | bits, 0, 0)
    colors = GIF_FRAME * 100
    assert len(colors) > 3 * 256
    table = colors[: 3 * 2 ** (bits + 1)]
    local = GIF_FRAME[:9] + bytes([0x80 | bits]) + table + GIF_FRAME[10:]
    check_frames(screen + table + local + local + b";", 2)
    with pytest.raises(ImageTooLarge, match="Received: 2 or more"):
        check_frames(screen + table + local + local + b";", 1)


def test_parts_of_a_gif_that_hide_its_frames() -> None:
    """A block of a byte each: ten million to step over in 20 MB."""
    hostile = gif(GIF_FRAME + b"!\xfe" + b"\x01x" * 100_000 + b"\x00" + GIF_FRAME)
    most = 10_000 + len(hostile) // 128
    with pytest.raises(InvalidImage, match=f"of this size may have {most} parts"):
        check_frames(hostile, MAX_FRAMES)
    # As encoders write them, blocks may be many.
    check_frames(gif(GIF_FRAME + b"!\xfe" + (b"\xfe" + b"x" * 254) * 40_000 + b"\x00"), MAX_FRAMES)


def webp(chunks: bytes, size: int | None = None) -> bytes:
    length = len(chunks) + 4 if size is None else size
    return b"RIFF" + struct.pack("<I", length) + b"WEBP" + chunks


@pytest.mark.parametrize("length", [0, 3, 4])
def test_frames_of_a_webp_are_counted_to_its_own_end(length: int) -> None:
    frame = b"ANMF" + struct.pack("<I", length) + bytes(length + length % 2)
    data = webp(b"XMP \x01\x00\x00\x00a\x00" + frame * 4)
    check_frames(data + frame * 9, 4)
    with pytest.raises(ImageTooLarge, match="Received: 4 or more"):
        check_frames(data, 3)


def test_the_end_that_a_webp_states() -> None:
    """In four bytes: a large file's own, or one that lies beyond it. Up to there, and no further:
    a frame whose head is cut off is none.
    """
    frames = (b"ANMF" + bytes(4)) * 4
    for size in (36, 37, 2**24, 2**32 - 1):
        check_frames(webp(frames, size), 4)
        with pytest.raises(ImageTooLarge, match="Received: 4 or more"):
            check_frames(webp(frames, size), 3)
    check_frames(webp(frames, 35), 3)


def test_chunks_of_a_webp_that_hide_its_frames() -> None:
    chunk = b"JUNK\x00\x00\x00\x00"
    check_frames(webp(chunk * 10_999), 1000)
    with pytest.raises(InvalidImage, match="may have 11000 parts"):
        check_frames(webp(chunk * 11_000), 1000)


def tiff(order: str, *following: int) -> bytes:
    """Empty directories of six bytes, each of which names the next."""
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order]
    directories = b"".join(struct.pack(order + "HI", 0, place) for place in following)
    return magic + struct.pack(order + "I", 8) + directories


@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_that_follow_each_other_in_a_circle(order: str) -> None:
    for last in (8, 14, 0, 20, 99):
        data = tiff(order, 14, last)
        check_frames(data, 2)
        with pytest.raises(ImageTooLarge, match="Received: 2 or more"):
            check_frames(data, 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_of_a_large_tiff(order: str) -> None:
    magic = {"<": b"II+\0\x08\0\0\0", ">": b"MM\0+\0\x08\0\0"}[order]
    entry = struct.pack(order + "HHQQ", 254, 4, 1, 0)
    first = struct.pack(order + "Q", 2) + entry * 2 + struct.pack(order + "Q", 72)
    data = magic + struct.pack(order + "Q", 16) + first + struct.pack(order + "QQ", 0, 16)
    check_frames(data, 2)
    with pytest.raises(ImageTooLarge, match="Received: 2 or more"):
        check_frames(data, 1)


def test_a_small_tiff_whose_first_page_lies_where_it_looks_large() -> None:
    data = b"II*\0" + struct.pack("<I", 43) + bytes(35) + struct.pack("<HI", 0, 49)
    check_frames(data + bytes(6), 2)
    with pytest.raises(ImageTooLarge, match="Received: 2 or more"):
        check_frames(data + bytes(6), 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_page_that_lies_over_the_header(order: str) -> None:
    """From its second byte on, which makes it thousands of entries long: others may follow."""
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 1)
    end = 3 + 12 * struct.unpack_from(order + "H", magic, 1)[0]
    data = magic.ljust(end, b"\0") + struct.pack(order + "IHI", end + 4, 0, 0)
    check_frames(data, 2)
    with pytest.raises(ImageTooLarge, match="Received: 2 or more"):
        check_frames(data, 1)


@pytest.mark.parametrize("entries", [1, 2, 2**64 - 1])
def test_the_last_page_is_one_even_if_it_is_cut_off(entries: int) -> None:
    """By a byte, by all of it, or by more than any file could have."""
    large = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, entries)
    for length in (0, 20, 27, 28):
        check_frames(large + bytes(length), 1)
    small = b"II*\0" + struct.pack("<IH", 8, min(entries, 2**16 - 1))
    for length in (0, 12, 15, 16):
        check_frames(small + bytes(length), 1)


def test_more_pages_than_anyone_will_read() -> None:
    places = range(14, 14 + 6 * 100_000, 6)
    with pytest.raises(ImageTooLarge, match=r"may have 1000 .* Received: 1001 or more"):
        check_frames(tiff("<", *places), MAX_FRAMES)


def avif(samples: int, **options: bool) -> bytes:
    table = box(b"stsz", struct.pack(">III", 0, 1, samples), **options)
    for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        table = box(kind, box(b"free", b"") + table, **options)
    return box(b"ftyp", b"avis\0\0\0\0avis") + box(b"mdat", bytes(40)) + table


@pytest.mark.parametrize("options", [{}, {"long": True}, {"open_end": True}], ids=str)
def test_samples_of_a_track(options: dict[str, bool]) -> None:
    """Four billion in a file of a few hundred bytes: the decoder would make room for them."""
    check_frames(avif(5, **options), 5)
    with pytest.raises(ImageTooLarge, match="Received: 4294967295 or more"):
        check_frames(avif(2**32 - 1, **options), MAX_FRAMES)


def test_boxes_that_hide_a_track() -> None:
    brand, film = box(b"ftyp", b"avis"), box(b"stsz", struct.pack(">III", 0, 1, 9))
    with pytest.raises(ImageTooLarge, match="Received: 9 or more"):
        check_frames(brand + box(b"free", b"") * 1998 + film, 1)
    with pytest.raises(InvalidImage, match="may have 2000 boxes"):
        check_frames(brand + box(b"free", b"") * 1999 + film, 1)


def test_a_box_that_says_it_is_smaller_than_its_own_head() -> None:
    check_frames(box(b"ftyp", b"avis") + struct.pack(">I4s", 7, b"moov") + avif(9)[24:], 1)


@pytest.mark.parametrize(
    "data",
    [avif(1800).replace(b"avis", b"isom"), b"MMXXVI" + bytes(range(256)) * 90, b"II." + bytes(40)],
    ids=["a film", "a numeral", "another"],
)
def test_what_is_no_image_has_no_frames(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        decode(data, RECIPE, max_pixels=MAX_PIXELS, max_frames=1)


def test_an_animation_control_that_lies() -> None:
    """What a PNG says is believed, as its reader does; the image before them is one more."""
    data = encoded(FRAMES[0], "PNG")
    control = png_chunk(b"acTL", struct.pack(">II", 2_000_000, 0))
    with pytest.raises(ImageTooLarge, match="Received: 2000001 or more"):
        decode(data[:33] + control + data[33:], RECIPE, max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_broken_file_is_left_to_the_reader(name: str) -> None:
    data = animated(name, FRAMES[:2])
    for end in range(len(data)):
        check_frames(data[:end], MAX_FRAMES)


@pytest.mark.parametrize("options", [{}, {"long": True}], ids=str)
def test_a_table_of_samples_that_is_cut_off(options: dict[str, bool]) -> None:
    """Where there is no number, there is none to be read; of half a number, half."""
    data = avif(9, **options)
    for end in range(len(data)):
        check_frames(data[:end], 1)
