"""What of a BMP Pillow decodes otherwise than browsers show it."""

from __future__ import annotations

import struct

from PIL import ImagePalette
from PIL.BmpImagePlugin import BmpImageFile

from service.errors import InvalidImage

# BITMAPFILEHEADER, then the headers of OS/2 (12 bytes) and of Windows (40 and more). In those the
# bits of a pixel are at 28, the compression at 30, the masks at 54.
HEADER_BYTES, OLD_HEADER, OLD_BITS, BITS, PACKED, MASKS = 14, 12, 24, 28, 30, 54
MASKED = 3
# Palettes of greys that Pillow takes for grey of 1 or 8 bits, though indices have 4 or 8.
TAKEN_FOR_GREY = {("1", 4): (0, 255), ("1", 8): (0, 255), ("L", 4): range(256)}


def check(image: BmpImageFile) -> None:
    """Corrects the mode of a palette of greys. Raises InvalidImage for masks that say nothing."""
    assert image.fp is not None
    image.fp.seek(0)
    header = image.fp.read(MASKS + 12)
    (header_bytes,) = struct.unpack_from("<I", header, HEADER_BYTES)
    old = header_bytes == OLD_HEADER
    (bits,) = struct.unpack_from("<H", header, OLD_BITS if old else BITS)
    if not old and header[PACKED] == MASKED and not any(header[MASKS : MASKS + 12]):
        raise InvalidImage(f"The masks of this BMP of {bits} bits a pixel are zero.")
    tile = image.tile[0]
    if tile.codec_name != "raw" or not isinstance(tile.args, tuple):
        return
    greys = TAKEN_FOR_GREY.get((tile.args[0], bits))
    if greys is not None:
        image._mode = "P"
        image.palette = ImagePalette.raw("RGB", bytes(grey for grey in greys for _ in range(3)))
        image.tile = [tile._replace(args=("P;4" if bits == 4 else "P", *tile.args[1:]))]
