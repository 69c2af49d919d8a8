"""What an image may measure, by its header: pixels, edges, and how much a byte may unpack to."""

from __future__ import annotations

from PIL import Image

from service.errors import ImageTooLarge

# JPEG's own. Pillow keeps a pointer a row: an image a pixel wide would cost ten times its pixels.
MAX_EDGE = 65_535
# A value is one channel of one pixel. So many may be packed as small as can be: 13 megapixels in
# color, what a telephone takes, or 40 in grey, what a scanner does.
FREE_VALUES = 40_000_000
# Beyond them a file that unpacks to more for each of its bytes is a bomb. Honest images reach
# 500, JPEG 511 by its structure; GIF 600 and AVIF 760, which spend next to nothing on what is
# smooth. One color packed by deflate is 620 to 1030, as GIF 4000, as WebP or AVIF without limit.
VALUES_A_BYTE = 600
VALUES_A_BYTE_OF = {"GIF": 1200, "AVIF": 1200}
# What a pixel becomes: a palette's entries are colors.
CHANNELS = {"1": 1, "L": 1, "I": 1, "F": 1, "LA": 2, "RGBA": 4, "CMYK": 4}


def check_size(image: Image.Image, *, file_bytes: int, max_pixels: int) -> None:
    """Raises ImageTooLarge."""
    name, channels = image.format or "", channels_of(image)
    check_extent(image.size, name, channels, file_bytes=file_bytes, max_pixels=max_pixels)


def check_extent(
    size: tuple[int, int], format: str, channels: int, *, file_bytes: int, max_pixels: int
) -> None:
    """size: width and height. Raises ImageTooLarge."""
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
    most = max(FREE_VALUES, VALUES_A_BYTE_OF.get(format, VALUES_A_BYTE) * file_bytes)
    if pixels * channels > most:
        raise ImageTooLarge(
            f"{file_bytes} bytes of {format} may unpack to {most}. "
            f"Received: {width} x {height} x {channels} channels = {pixels * channels}"
        )


def channels_of(image: Image.Image) -> int:
    return 1 if image.mode.startswith("I;") else CHANNELS.get(image.mode, 3)
