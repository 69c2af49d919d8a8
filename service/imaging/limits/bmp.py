"""Limits of a BMP that is compressed by run lengths, which Pillow unpacks in Python."""

from __future__ import annotations

from PIL.ImageFile import ImageFile

from service.imaging.limits.dimensions import check_part_count

# Pillow fills the rest of a line that ends early pixel by pixel, and executes operations that
# draw nothing one by one.
MAX_PIXELS = 2**20
MAX_BYTES = 2**17
# The most bytes that a pixel or the end of a line needs, and that may follow the last one.
BYTES_PER_PIXEL, END_BYTES = 2, 1024


def check_runs(image: ImageFile, data: bytes) -> None:
    """Limits pixels, and bytes of runs. Raises InvalidImage."""
    if not image.tile or image.tile[0].codec_name != "bmp_rle":
        return
    check_part_count("pixels packed by runs", image.width * image.height, MAX_PIXELS)
    needed = BYTES_PER_PIXEL * (image.width + 1) * image.height + END_BYTES
    runs_bytes = len(data) - image.tile[0].offset
    check_part_count("bytes of packed runs", runs_bytes, min(needed, MAX_BYTES))
