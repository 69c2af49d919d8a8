"""Bytes of an image to the pixels that a network is fed: upright, RGB, resized and cropped."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
from service.imaging.color import flatten_alpha, srgb, transform_of
from service.imaging.limits.dimensions import check_extent, check_size
from service.imaging.limits.gif import MAX_FRAMES, check_frames, check_index
from service.imaging.limits.jpeg import check_structure, check_work, gif_size
from service.imaging.transforms import TRANSPOSES, apply_orientation, crop, crop_draft, draft

Pixels = npt.NDArray[np.uint8]
# Entered for as long as a header is read.
Bound = Callable[[], AbstractContextManager[object]]

# Imported, each is known to Pillow, which then looks for no other.
PLUGINS = (
    JpegImageFile,
    PngImageFile,
    WebPImageFile,
    AvifImageFile,
    GifImageFile,
    BmpImageFile,
    TiffImageFile,
)
FORMATS = tuple(
    plugin.format for plugin in PLUGINS if plugin is not AvifImageFile or features.check("avif")
)
MAGIC: dict[bytes, str] = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
# What people send, and is not served: the refusal says what it was.
OTHERS: dict[bytes, str] = {
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"<svg": "SVG",
    b"<?xml": "XML, SVG perhaps",
    b"\xd7\xcd\xc6\x9a": "WMF",
    b"\xd0\xcf\x11\xe0": "OLE, FlashPix perhaps",
    b"8BPS": "Photoshop",
    b"\x00\x00\x01\x00": "ICO",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
    b"\xffO\xffQ": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
}
# Files whose format is named after a length: RIFF's and ISO 14496-12's.
NAMED_WITHIN: dict[tuple[int, bytes], str] = {
    (8, b"WEBP"): "WEBP",
    (4, b"ftypavif"): "AVIF",
    (4, b"ftypavis"): "AVIF",
    (4, b"ftyphei"): "HEIC",
    (4, b"ftyphev"): "HEIC",
}


def decode(
    data: bytes, preprocessing: Preprocessing, *, max_pixels: int, max_frames: int = MAX_FRAMES
) -> Pixels:
    """uint8 [crop_size, crop_size, 3], the image as a person sees it, cropped as its network
    was trained to see it.

    Only the first frame of an animation is seen. Raises UnsupportedMedia, ImageTooLarge (from the
    header, before any pixel is decoded) or InvalidImage.
    """
    image = open_image(data, max_pixels=max_pixels, max_frames=max_frames)
    return render(image, preprocessing)


def open_image(
    data: bytes, *, max_pixels: int, max_frames: int = MAX_FRAMES, bound: Bound = nullcontext
) -> ImageFile:
    """The image with its header read and found within the limits, its pixels not decoded."""
    check_structure(data)
    check_frames(data, max_frames)
    if data.startswith(b"GIF8"):
        check_extent(gif_size(data), "GIF", 1, file_bytes=len(data), max_pixels=max_pixels)
    with bound():
        image = _open(data)
    check_size(image, file_bytes=len(data), max_pixels=max_pixels)
    check_index(image, max_frames)
    check_work(image, data)
    return image


def render(image: ImageFile, preprocessing: Preprocessing, *, bound: Bound = nullcontext) -> Pixels:
    """`decode`, from `open_image` on. Raises InvalidImage."""
    try:
        transform = transform_of(image)
        extent = draft(image, preprocessing)
        image.load()
        # Not before: Pillow turns a TIFF itself while it loads it, and takes the tag away.
        with bound():
            orientation = _orientation(image)
        if extent is None:
            whole, transform = flatten_alpha(image, transform)
            square = srgb(crop(apply_orientation(whole, orientation), preprocessing), transform)
        else:
            square = crop_draft(image, extent, orientation, preprocessing)
            square = apply_orientation(srgb(square, transform), orientation)
        return np.asarray(square, dtype=np.uint8)
    except Exception as error:
        raise InvalidImage(
            f"The {image.format} image can't be decoded: {_reason(error)}"
        ) from error


def _open(data: bytes) -> ImageFile:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(str(error)) from error
    except UnidentifiedImageError:
        pass
    # Readers raise exceptions of any class on unexpected bytes.
    except Exception as error:
        raise InvalidImage(f"The image's header can't be read: {_reason(error)}") from error
    if not data:
        raise InvalidImage("The image is empty: 0 bytes.")
    name = _begins_as(data)
    if name in FORMATS:
        raise InvalidImage(f"It begins as {name}, and its header can't be read.")
    received = name or f"{len(data)} bytes that begin with {data[:8]!r}"
    raise UnsupportedMedia(f"Images are taken as {', '.join(FORMATS)}. Received: {received}")


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than an image of its size may take"
    return str(error) or type(error).__name__


def _begins_as(data: bytes) -> str | None:
    for (place, named), name in NAMED_WITHIN.items():
        if data.startswith(named, place):
            return name
    for magic, name in (MAGIC | OTHERS).items():
        if data.startswith(magic):
            return name
    return None


def _orientation(image: Image.Image) -> int:
    """Exif's, 1 to 8; 1 where it says nothing."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    # An image is worth showing even where its Exif is broken.
    except Exception:
        return 1
    return orientation if orientation in TRANSPOSES else 1
