"""Bytes of a picture to the pixels that a network is fed: upright, RGB, resized and cropped."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from model_builder.preprocessing import Preprocessing
from service.colour import opaque, srgb, transform_of
from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
from service.framing import TRANSPOSES, crop, crop_draft, draft, turned

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAGIC: dict[bytes, str] = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"RIFF": "WEBP",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}


def decode(data: bytes, preprocessing: Preprocessing, *, max_pixels: int) -> Pixels:
    """uint8 [crop_size, crop_size, 3], the picture as a person sees it, cropped as its network
    was trained to see it.

    Only the first frame of an animation counts. Raises UnsupportedMedia, ImageTooLarge (from the
    header, before any pixel is decoded) or InvalidImage.
    """
    image = _open(data)
    if image.width * image.height > max_pixels:
        raise ImageTooLarge(
            f"A picture may have {max_pixels} pixels. "
            f"Received: {image.width} x {image.height} = {image.width * image.height}"
        )
    try:
        transform = transform_of(image)
        extent = draft(image, preprocessing)
        image.load()
        # Not before: Pillow turns a TIFF itself while it loads it, and takes the tag away.
        orientation = _orientation(image)
        if extent is None:
            whole, transform = opaque(image, transform)
            square = srgb(crop(turned(whole, orientation), preprocessing), transform)
        else:
            square = crop_draft(image, extent, orientation, preprocessing)
            square = turned(srgb(square, transform), orientation)
        pixels = np.asarray(square, dtype=np.uint8)
    # Decoders meet bytes that nobody foresaw with whatever Python then raises.
    except Exception as error:
        raise InvalidImage(f"The {image.format} picture can't be decoded: {error}") from error
    return pixels


def _open(data: bytes) -> Image.Image:
    """The picture with its header read and its pixels not."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(str(error)) from error
    except UnidentifiedImageError:
        pass
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InvalidImage(f"The picture's header can't be read: {error}") from error
    if not data:
        raise InvalidImage("The picture is empty: 0 bytes.")
    for magic, name in MAGIC.items():
        if data.startswith(magic):
            raise InvalidImage(f"It begins as {name}, and its header can't be read.")
    raise UnsupportedMedia(
        f"Pictures are taken as {', '.join(FORMATS)}. "
        f"Received: {len(data)} bytes that begin with {data[:8]!r}"
    )


def _orientation(image: Image.Image) -> int:
    """Exif's, 1 to 8; 1 where it says nothing."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    # A picture is worth showing even where its Exif is broken.
    except Exception:
        return 1
    return orientation if orientation in TRANSPOSES else 1
