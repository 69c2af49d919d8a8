"""Decodes an image to the pixels that a network takes: upright, sRGB, resized and cropped."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
from service.imaging.color import flatten_alpha, srgb, transform_of
from service.imaging.formats import ACCEPTED, FORMATS, name_of
from service.imaging.limits.dimensions import MAX_FRAMES, check_header_frames, check_size
from service.imaging.transforms import TRANSPOSES, apply_orientation, crop, crop_draft, draft

Pixels = npt.NDArray[np.uint8]
# Makes a context that is entered while Pillow reads a header or Exif, and may end it.
Bound = Callable[[], AbstractContextManager[object]]


def decode(
    data: bytes, preprocessing: Preprocessing, *, max_pixels: int, max_frames: int = MAX_FRAMES
) -> Pixels:
    """uint8 [crop_size, crop_size, 3] in sRGB, resized and cropped as the network's training did.

    data: a whole file. Of an animation the first frame is decoded. Raises UnsupportedMedia,
    ImageTooLarge (before any pixel is decoded) or InvalidImage.
    """
    image = open_image(data, max_pixels=max_pixels, max_frames=max_frames)
    return render(image, preprocessing)


def open_image(
    data: bytes, *, max_pixels: int, max_frames: int = MAX_FRAMES, bound: Bound = nullcontext
) -> ImageFile:
    """Reads the header and checks it against all limits; decodes no pixels.

    bound: entered while Pillow reads the header. Raises UnsupportedMedia, ImageTooLarge or
    InvalidImage.
    """
    # A file can have the signatures of two formats, and Pillow tries each.
    for format in FORMATS.values():
        if format.may_read(data):
            format.check_file(data, max_pixels=max_pixels, max_frames=max_frames)
    with bound():
        image = _open(data)
    check_size(image, file_bytes=len(data), max_pixels=max_pixels)
    check_header_frames(image, max_frames)
    for format in FORMATS.values():
        if format.check_work is not None and isinstance(image, format.reader):
            format.check_work(image, data)
    return image


def render(image: ImageFile, preprocessing: Preprocessing, *, bound: Bound = nullcontext) -> Pixels:
    """uint8 [crop_size, crop_size, 3] of an image from `open_image`.

    bound: entered while Pillow reads the Exif. Raises InvalidImage.
    """
    try:
        transform = transform_of(image)
        extent = draft(image, preprocessing)
        image.load()
        # After load(): Pillow applies a TIFF's orientation in it, and removes the tag.
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
        return Image.open(io.BytesIO(data), formats=ACCEPTED)
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(str(error)) from error
    except UnidentifiedImageError:
        pass
    # Pillow's readers raise exceptions of any class on unexpected bytes.
    except Exception as error:
        raise InvalidImage(f"The image's header can't be read: {_reason(error)}") from error
    if not data:
        raise InvalidImage("The image is empty: 0 bytes.")
    name = name_of(data)
    if name in ACCEPTED:
        raise InvalidImage(f"It begins as {name}, and its header can't be read.")
    received = name or f"{len(data)} bytes that begin with {data[:8]!r}"
    raise UnsupportedMedia(f"Images are taken as {', '.join(ACCEPTED)}. Received: {received}")


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than an image of its size may take"
    return str(error) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    """Exif's, 1 to 8; 1 where the image states none or one that does not exist."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    # Broken Exif is no reason to refuse the image.
    except Exception:
        return 1
    return orientation if orientation in TRANSPOSES else 1
