"""Makes images whose pixels are known, and files with unusual structures."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from model_builder.artifact.preprocessing import Interpolation, Preprocessing

Pixels = npt.NDArray[np.uint8]

COLORS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}


# Which side of the scene the file's first row and first column show: Exif 2.32, section 4.6.4 A.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def plain(color: str, size: tuple[int, int] = (40, 40), format: str = "PNG") -> bytes:
    """An image of one color."""
    return encoded(Image.new("RGB", size, COLORS[color]), format)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def quadrants(width: int, height: int) -> Image.Image:
    """Red, green, blue and grey quarters, which every rotation and every mirroring changes."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (220, 20, 20)
    pixels[: height // 2, width // 2 :] = (20, 200, 20)
    pixels[height // 2 :, : width // 2] = (20, 20, 240)
    pixels[height // 2 :, width // 2 :] = (120, 120, 120)
    return Image.fromarray(pixels)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def inserted(data: bytes, position: int, part: bytes) -> bytes:
    return data[:position] + part + data[position:]


def header_alone(format: str, width: int, height: int) -> bytes:
    """A file up to its first pixel."""
    if format == "PNG":
        header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"")
    if format == "BMP":
        header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header
    if format == "GIF":
        screen = struct.pack("<HHBBB", width, height, 0, 0, 0)
        return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x08"
    if format == "JPEG":
        components = bytes([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1])
        frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + components
        scan = struct.pack(">HB", 12, 3) + bytes([1, 0, 2, 0, 3, 0, 0, 63, 0])
        return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda" + scan
    raise ValueError(f"no header is known for {format}")


def as_stored(scene: Image.Image, orientation: int) -> Image.Image:
    """The pixels that a camera writes for `scene` with an Exif orientation of 1 to 8."""
    row, column = SIDES[orientation]
    pixels = np.asarray(scene)
    if row in ("left", "right"):
        pixels = pixels.transpose(1, 0, 2)
    pixels = pixels[::-1] if row in ("bottom", "right") else pixels
    pixels = pixels[:, ::-1] if column in ("bottom", "right") else pixels
    return Image.fromarray(np.ascontiguousarray(pixels))


def orientation_tag(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def recipe(edge: int, size: int, interpolation: Interpolation = "bilinear") -> Preprocessing:
    return Preprocessing(edge, size, interpolation, "RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def reference(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """torchvision's resize and center_crop on a Pillow image, implemented from its rules.

    Source: torchvision 0.22, transforms/functional.py: `_compute_resized_output_size` (the longer
    edge truncated), `resize` (nothing to do where the size is right already), `center_crop`
    (corners by Python's round).
    """
    edge, size = preprocessing.resize_edge, preprocessing.crop_size
    width, height = image.size
    if width < height:
        new_width, new_height = edge, int(edge * height / width)
    else:
        new_width, new_height = int(edge * width / height), edge
    if (width, height) != (new_width, new_height):
        resampling = getattr(Image.Resampling, preprocessing.interpolation.upper())
        image = image.resize((new_width, new_height), resampling)
    top = round((new_height - size) / 2.0)
    left = round((new_width - size) / 2.0)
    return image.crop((left, top, left + size, top + size))


def runs_bmp(width: int, height: int, operations: bytes) -> bytes:
    """A black BMP of run lengths, whose operations Pillow executes in Python, one by one."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    file = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + header + bytes(1024)
    return file + operations


def lying_avif(edge: int) -> bytes:
    """An AVIF that states 10 x 10 pixels and decodes to `edge` times `edge`."""
    data = encoded(Image.new("RGB", (edge, edge), "red"), "AVIF", speed=10)
    size = data.index(b"ispe") + 8
    assert struct.unpack(">II", data[size : size + 8]) == (edge, edge)
    return data[:size] + struct.pack(">II", 10, 10) + data[size + 8 :]


def box(kind: bytes, content: bytes, *, long: bool = False, open_end: bool = False) -> bytes:
    """A box of ISO 14496-12. long: with a length of eight bytes behind its type. open_end: without
    a length, up to the end of the file.
    """
    if open_end:
        return struct.pack(">I4s", 0, kind) + content
    if long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), kind) + content
