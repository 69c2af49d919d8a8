"""The most expensive files whose damage costs no pixel, or nearly none, for `worst_files`."""

from __future__ import annotations

import struct
from collections.abc import Callable

from PIL import Image

from tests.service.images import encoded, plain, png_chunk

BODY_BYTES = 20 * 2**20
PHOTO = Image.radial_gradient("L").resize((4000, 3000))


def png_broken_chunks() -> bytes:
    """As many as may be, each of which would be looked behind for the next that pixels need."""
    data = plain("red", (32, 32))
    chunk = struct.pack(">I", 2000) + b"teSt" + bytes(2000)
    return data[:33] + chunk * 9000 + data[33:]


def png_large_broken_chunk() -> bytes:
    data = plain("red", (32, 32))
    chunk = bytearray(png_chunk(b"teSt", bytes(BODY_BYTES)))
    chunk[-1] ^= 1
    return data[:33] + bytes(chunk) + data[33:]


def progressive(**options: object) -> bytes:
    return encoded(PHOTO.convert("RGB"), "JPEG", progressive=True, **options)


def jpeg_without_end() -> bytes:
    return progressive(quality=90)[:-2]


def jpeg_cut_in_last_scan() -> bytes:
    return progressive(quality=90)[:-200]


def jpeg_50_megapixels_cut() -> bytes:
    """Baseline, of one color: all but the last bytes."""
    return encoded(Image.new("RGB", (8160, 6120), "red"), "JPEG")[:-100]


def webp_without_metadata_end() -> bytes:
    data = encoded(PHOTO.convert("RGB"), "WEBP", method=0, exif=b"Exif\0\0" + bytes(BODY_BYTES))
    return data[:-1000]


def heif_padded() -> bytes:
    return encoded(Image.new("RGB", (4210, 3160), "red"), "HEIF")


def heif_50_megapixels() -> bytes:
    return encoded(Image.new("RGB", (8160, 6120), "red"), "HEIF")


def heif_lying() -> bytes:
    data = bytearray(encoded(Image.new("RGB", (7000, 7000), "red"), "HEIF"))
    place = -1
    while (place := data.find(b"ispe", place + 1)) > 0:
        data[place + 8 : place + 16] = struct.pack(">II", 16, 16)
    return bytes(data)


FILES: dict[str, Callable[[], bytes]] = {
    "PNG, 9000 broken chunks": png_broken_chunks,
    "PNG, a broken chunk of 20 MB": png_large_broken_chunk,
    "JPEG, progressive, 12 megapixels without an end": jpeg_without_end,
    "JPEG, the same, its last scan cut": jpeg_cut_in_last_scan,
    "JPEG, baseline, 50 megapixels of red, cut": jpeg_50_megapixels_cut,
    "WebP, 12 megapixels and 20 MB of Exif, cut": webp_without_metadata_end,
    "HEIF, 50 megapixels of red": heif_50_megapixels,
    "HEIF, 16 x 16 that decodes to 49 million": heif_lying,
    "HEIF, 13 megapixels of red": heif_padded,
}
