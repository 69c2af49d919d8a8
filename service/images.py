"""Bytes of a picture to the pixels that a network is fed: upright, RGB, resized and cropped."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from model_builder.preprocessing import RESAMPLING, Preprocessing
from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia

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
# Exif 2.32, section 4.6.4 A: what undoes each orientation.
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Beyond this aspect ratio the crop comes before the resize, which would need a huge picture.
ASPECT_LIMIT = 8


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
        image.load()
        pixels = np.asarray(crop(_upright(image, _rgb(image)), preprocessing), dtype=np.uint8)
    # Decoders meet bytes that nobody foresaw with whatever Python then raises.
    except Exception as error:
        raise InvalidImage(f"The {image.format} picture can't be decoded: {error}") from error
    return pixels


def crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Shorter edge to `resize_edge`, antialiased, then the centre `crop_size` square.

    Same numbers as torchvision's Resize and CenterCrop on Pillow pictures: the longer edge is
    truncated, the crop's corner is rounded half to even.
    """
    edge, size = preprocessing.resize_edge, preprocessing.crop_size
    short, long = sorted(image.size)
    if long > ASPECT_LIMIT * short:
        image = _centre(
            image, min(image.width, ASPECT_LIMIT * short), min(image.height, ASPECT_LIMIT * short)
        )
        short, long = sorted(image.size)
    resized_long = int(edge * long / short)
    resized = (edge, resized_long) if image.width <= image.height else (resized_long, edge)
    if image.size != resized:
        image = image.resize(resized, RESAMPLING[preprocessing.interpolation])
    return _centre(image, size, size)


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


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


def _rgb(image: Image.Image) -> Image.Image:
    """The first frame in RGB as a person sees it: transparency over white, 16 bits scaled to 8."""
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow clips what is above 255 when it converts these modes; a person sees the high bits."""
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values)
        values = np.clip(values * 255 if values.max(initial=0) <= 1 else values, 0, 255)
    else:
        values = np.clip(values, 0, 65535) >> 8
    return Image.fromarray(values.astype(np.uint8))


def _upright(image: Image.Image, rgb: Image.Image) -> Image.Image:
    """`rgb`, turned as the Exif orientation of `image` says."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    # A picture is worth showing even where its Exif is broken.
    except Exception:
        return rgb
    transpose = TRANSPOSES.get(orientation)
    return rgb if transpose is None else rgb.transpose(transpose)
