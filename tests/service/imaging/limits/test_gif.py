"""A GIF's blocks, frames and size are checked before Pillow reads the file."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from service.errors import ImageTooLarge, InvalidImage
from service.imaging.decoder import decode, open_image
from service.imaging.limits.dimensions import MAX_FRAMES, MAX_PARTS
from service.imaging.limits.gif import check_blocks, check_frames, size_of
from tests.service.images import encoded, header_alone, inserted, noise, recipe

GIF = encoded(noise(24, 24), "GIF")
START = GIF.index(b",\0\0\0\0")
COMMENT = b"!\xfe"
FRAME = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
COLORS = bytes(6)


def with_blocks(count: int) -> bytes:
    # The extension's introducer and its empty block count too.
    return inserted(GIF, START, COMMENT + b"\x01x" * (count - 2) + b"\0")


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        (with_blocks(MAX_PARTS - 1), with_blocks(MAX_PARTS + 1)),
        (GIF, inserted(GIF, START, b"\0" * (MAX_PARTS + 1))),
    ],
    ids=["comments", "bytes outside of blocks"],
)
def test_limit_of_blocks_before_the_first_frame(allowed: bytes, refused: bytes) -> None:
    assert decode(allowed, recipe(16, 14), max_pixels=1000).shape == (14, 14, 3)
    with pytest.raises(InvalidImage, match="blocks before its first frame"):
        decode(refused, recipe(16, 14), max_pixels=1000)


@pytest.mark.parametrize("flags", [0x07, 0x80], ids=["no color table", "two colors"])
def test_blocks_are_counted_from_behind_the_color_table(flags: int) -> None:
    """A size that is stated without a table skips nothing."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 24, 24, flags, 0, 0)
    screen += COLORS if flags & 0x80 else b""
    # Each comment is three parts: its introducer, one block, and an empty one.
    comments, frame = (COMMENT + b"\x01x\0") * (MAX_PARTS // 3), b",\0\0\0\0"
    check_blocks(screen + b"\0" * (MAX_PARTS % 3) + comments + frame)
    with pytest.raises(InvalidImage, match="blocks before its first frame"):
        check_blocks(screen + b"\0" * (MAX_PARTS % 3 + 1) + comments + frame)


def test_an_encoders_file_is_within_the_limit() -> None:
    check_blocks(encoded(Image.effect_noise((1500, 1500), 90), "GIF"))


def test_bytes_after_the_image_are_not_counted() -> None:
    decode(GIF + bytes(1_000_000), recipe(16, 14), max_pixels=1000)


def test_a_truncated_file_is_left_to_the_reader() -> None:
    data = with_blocks(4)
    for end in range(len(data)):
        check_blocks(data[:end])


def gif(parts: bytes, aspect: int = 0) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, aspect) + parts


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(COMMENT + b"\x05a,b;c\x00", id="a comment"),
        pytest.param(b"!\xf9\x04\x00\x0a\x00\x00\x00", id="a control extension"),
        pytest.param(b"\x00\x00\x07", id="bytes outside of blocks"),
    ],
)
def test_frames_are_counted_whatever_is_between_them(between: bytes) -> None:
    local = FRAME[:9] + b"\x80" + COLORS + FRAME[10:]
    # Interlaced, and with the size of a table that is not there.
    interlaced = FRAME[:9] + b"\x47" + FRAME[10:]
    frames = between.join([local, interlaced, FRAME])
    # Frames behind the trailer do not count.
    for data in (gif(frames + b";" + FRAME), gif(frames)):
        check_frames(data, 3)
        with pytest.raises(ImageTooLarge, match=r"Received: 3 or more"):
            check_frames(data, 2)


@pytest.mark.parametrize("aspect", b",!;")
def test_the_aspect_ratio_of_pixels_is_not_a_block(aspect: int) -> None:
    """It is the last byte of the header, and may have the value of a frame's first byte."""
    data = gif(FRAME * 3 + b";", aspect)
    check_frames(data, 3)
    with pytest.raises(ImageTooLarge, match="Received: 3 or more"):
        check_frames(data, 2)


@pytest.mark.parametrize("bits", range(8))
def test_a_color_table_is_not_searched_for_frames(bits: int) -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80 | bits, 0, 0)
    colors = FRAME * 100
    assert len(colors) > 3 * 256
    table = colors[: 3 * 2 ** (bits + 1)]
    local = FRAME[:9] + bytes([0x80 | bits]) + table + FRAME[10:]
    check_frames(screen + table + local + local + b";", 2)
    with pytest.raises(ImageTooLarge, match="Received: 2 or more"):
        check_frames(screen + table + local + local + b";", 1)


def test_limit_of_parts_between_frames() -> None:
    """In blocks of a byte each, 20 MB would take ten million steps."""
    hostile = gif(FRAME + COMMENT + b"\x01x" * 100_000 + b"\x00" + FRAME)
    limit = 10_000 + len(hostile) // 128
    with pytest.raises(InvalidImage, match=f"of this size may have {limit} parts"):
        check_frames(hostile, MAX_FRAMES)
    # Full blocks, as encoders write them, may be many.
    check_frames(gif(FRAME + COMMENT + (b"\xfe" + b"x" * 254) * 40_000 + b"\x00"), MAX_FRAMES)


@pytest.mark.parametrize(
    ("screen", "frame"),
    [((9000, 7000), (0, 0, 24, 24)), ((24, 24), (100, 50, 8900, 6950))],
    ids=["a screen", "a frame beyond it"],
)
def test_size_is_checked_before_pillow_allocates_the_frame(
    monkeypatch: pytest.MonkeyPatch, screen: tuple[int, int], frame: tuple[int, int, int, int]
) -> None:
    """While it reads the header, Pillow fills a frame that is to be cleared after display."""

    def fill(*_: object) -> None:
        raise AssertionError("the frame was allocated")

    monkeypatch.setattr("PIL.Image.core.fill", fill)
    cleared = b"!\xf9\x04\x08\0\0\0\0"
    pixels = GIF[START + 9 :]
    data = GIF[:6] + struct.pack("<HH", *screen) + GIF[10:START] + cleared
    data += b"," + struct.pack("<HHHH", *frame) + pixels
    with pytest.raises(ImageTooLarge, match="Received: 9000 x 7000 = 63000000"):
        open_image(data, max_pixels=50_000_000)
    with pytest.raises(ImageTooLarge, match=f"{len(data)} bytes of GIF may unpack to 40000000"):
        open_image(data, max_pixels=63_000_000)


def test_a_file_that_ends_before_its_size_has_none() -> None:
    stated = START + 9
    assert {size_of(GIF[:end]) for end in range(stated)} == {(0, 0)}
    assert size_of(GIF[:stated]) == (24, 24)


def test_a_pixel_counts_one_value_before_the_palette_is_read() -> None:
    """The palette of a grey GIF makes one channel of it; Pillow finds out later."""
    assert open_image(header_alone("GIF", 6000, 6000), max_pixels=50_000_000).mode == "L"
