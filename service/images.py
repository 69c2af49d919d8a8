"""Bytes of a picture to the pixels that a network is fed: upright, RGB, resized and cropped."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from model_builder.preprocessing import Preprocessing
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
# Whose stored rows run from right to left of the scene, whose columns from bottom to top.
RIGHT_TO_LEFT = {2, 3, 7, 8}
BOTTOM_TO_TOP = {3, 4, 6, 7}
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Beyond this aspect ratio the crop comes before the resize, which would need a huge picture.
ASPECT_LIMIT = 8
# A JPEG is decoded no smaller than this many times what it is resized to.
DRAFT_GAP = 2


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
        extent = _draft(image, preprocessing)
        image.load()
        # Not before: Pillow turns a TIFF itself while it loads it, and takes the tag away.
        orientation = _orientation(image)
        if extent is None:
            square = crop(_turned(_rgb(image), orientation), preprocessing)
        else:
            square = _turned(
                _rgb(_crop_draft(image, extent, orientation, preprocessing)), orientation
            )
        pixels = np.asarray(square, dtype=np.uint8)
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
    longest = ASPECT_LIMIT * min(image.size)
    if max(image.size) > longest:
        image = _centre(image, min(image.width, longest), min(image.height, longest))
    resized = _resized(*image.size, edge)
    if image.size != resized:
        image = image.resize(resized, RESAMPLING[preprocessing.interpolation])
    return _centre(image, size, size)


def _resized(width: float, height: float, edge: int) -> tuple[int, int]:
    long = int(edge * max(width, height) / min(width, height))
    return (edge, long) if width <= height else (long, edge)


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _draft(image: Image.Image, preprocessing: Preprocessing) -> tuple[float, float] | None:
    """Has a large JPEG decoded at a half, a quarter or an eighth, an average by libjpeg.

    What of it is picture, width and height: its last column and row may be partly padding.
    None where it stays as it is.
    """
    if not isinstance(image, JpegImageFile):
        return None
    full, enough = image.size, DRAFT_GAP * preprocessing.resize_edge
    drafted = image.draft(None, (enough, enough))
    if drafted is None or image.size == full:
        return None
    _, (_, _, width, height) = drafted
    return width, height


def _crop_draft(
    image: Image.Image,
    extent: tuple[float, float],
    orientation: int,
    preprocessing: Preprocessing,
) -> Image.Image:
    """The square that `crop` would cut out of the upright picture, not yet turned.

    Only the square is resized, from a box in 32-bit floats, which can be a level off.
    """
    size = preprocessing.crop_size
    width, height = _resized(*extent, preprocessing.resize_edge)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if orientation in RIGHT_TO_LEFT:
        left = width - size - left
    if orientation in BOTTOM_TO_TOP:
        top = height - size - top
    across, down = extent[0] / width, extent[1] / height
    box = (left * across, top * down, (left + size) * across, (top + size) * down)
    return image.resize((size, size), RESAMPLING[preprocessing.interpolation], box)


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
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow clips what is above 255 when it converts these modes; a person sees the high bits."""
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values)
        values = np.clip(values * 255 if values.max(initial=0) <= 1 else values, 0, 255)
    else:
        values = np.clip(values, 0, 65535) >> 8
    return Image.fromarray(values.astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    """Exif's, 1 to 8; 1 where it says nothing."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    # A picture is worth showing even where its Exif is broken.
    except Exception:
        return 1
    return orientation if orientation in TRANSPOSES else 1


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    transpose = TRANSPOSES.get(orientation)
    return image if transpose is None else image.transpose(transpose)
