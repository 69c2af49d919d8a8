"""Limits that apply to every format: pixels, edges, values for each byte, frames and parts."""

from __future__ import annotations

from PIL import Image

from service.errors import ImageTooLarge, InvalidImage

# JPEG's own limit. Pillow keeps a pointer for each row: an image one pixel wide would take ten
# times the memory of its pixels.
MAX_EDGE = 65_535
# A value is one channel of one pixel. A file of any length may decode to this many: 13 megapixels
# in color, as phones take them, or 40 in grey, as scanners do.
FREE_VALUES = 40_000_000
# A file that decodes to more than FREE_VALUES, and to more than this for each of its bytes, is a
# decompression bomb. Real images reach 500, as JPEG at most 511 by its structure. GIF reaches 600
# and AVIF 760: they store smooth areas in almost no bytes. One color reaches 620 to 1030 with
# deflate, 4000 as GIF, and any number as WebP or AVIF (tests/fuzz/values_per_byte.py).
VALUES_PER_BYTE = 600
VALUES_PER_BYTE_OF = {"GIF": 1200, "AVIF": 1200, "HEIF": 1200}
# Of a decoded pixel, by Pillow's mode; 3 for every other mode, since a palette holds colors.
CHANNELS = {"1": 1, "L": 1, "I": 1, "F": 1, "LA": 2, "RGBA": 4, "CMYK": 4}
MAX_FRAMES = 1000
# Segments, chunks or blocks that are not frames. Pillow reads them one by one, in Python. Photos
# have dozens and the largest PNG files thousands; 20 MB have room for millions.
MAX_PARTS = 10_000


def check_size(image: Image.Image, *, file_bytes: int, max_pixels: int) -> None:
    """`check_extent`, by an image's header."""
    name, channels = image.format or "", channels_of(image)
    check_extent(image.size, name, channels, file_bytes=file_bytes, max_pixels=max_pixels)


def check_extent(
    size: tuple[int, int], format: str, channels: int, *, file_bytes: int, max_pixels: int
) -> None:
    """Checks pixels, edges and values for each byte of the file. Raises ImageTooLarge.

    size: width and height in pixels. format: Pillow's name. channels: 1 to 4.
    """
    width, height = size
    pixels = width * height
    if pixels > max_pixels:
        raise ImageTooLarge(
            f"An image may have {max_pixels} pixels. Received: {width} x {height} = {pixels}"
        )
    if max(size) > MAX_EDGE:
        raise ImageTooLarge(
            f"An image's edges may have {MAX_EDGE} pixels. Received: {width} x {height}"
        )
    limit = max(FREE_VALUES, VALUES_PER_BYTE_OF.get(format, VALUES_PER_BYTE) * file_bytes)
    if pixels * channels > limit:
        raise ImageTooLarge(
            f"{file_bytes} bytes of {format} may unpack to {limit}. "
            f"Received: {width} x {height} x {channels} channels = {pixels * channels}"
        )


def channels_of(image: Image.Image) -> int:
    """1 to 4: the channels of a decoded pixel, where a palette counts as color."""
    return 1 if image.mode.startswith("I;") else CHANNELS.get(image.mode, 3)


def check_frame_count(frames: int, max_frames: int) -> None:
    """Raises ImageTooLarge. frames: frames, pages or images, as far as they were counted."""
    if frames > max_frames:
        raise ImageTooLarge(
            f"An image may have {max_frames} frames, pages or images. Received: {frames} or more"
        )


def check_header_frames(image: Image.Image, max_frames: int) -> None:
    """`check_frame_count`, where Pillow has read the count with the header: from the animation
    control of a PNG and the index of an MPO.

    Other readers count when the property `n_frames` is read; it is not in their `vars`.
    """
    check_frame_count(vars(image).get("n_frames", 1), max_frames)


def check_part_count(parts: str, count: int, limit: int) -> None:
    """Raises InvalidImage. parts: what was counted, a plural for the message."""
    if count > limit:
        raise InvalidImage(f"An image may have {limit} {parts}. Received: more.")


def too_many_parts(limit: int) -> InvalidImage:
    """For a file whose frames lie among more than `limit` other parts."""
    return InvalidImage(f"An image of this size may have {limit} parts. Received: more.")
