"""The square of an image that its network is fed: shorter edge resized, centre cropped."""

from __future__ import annotations

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from model_builder.artifact.preprocessing import RESAMPLING, Preprocessing

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
# Beyond this aspect ratio the crop comes before the resize, which would need a huge image.
ASPECT_LIMIT = 8
# A JPEG is decoded no smaller than this many times what it is resized to.
DRAFT_GAP = 2


def crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Shorter edge to `resize_edge`, antialiased, then the centre `crop_size` square.

    Same numbers as torchvision's Resize and CenterCrop on Pillow images: the longer edge is
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


def apply_orientation(image: Image.Image, orientation: int) -> Image.Image:
    """Upright. orientation: Exif's, 1 to 8."""
    transpose = TRANSPOSES.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def draft(image: Image.Image, preprocessing: Preprocessing) -> tuple[float, float] | None:
    """Has a large JPEG decoded at a half, a quarter or an eighth, an average by libjpeg.

    What of it is image, width and height: its last column and row may be partly padding.
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


def crop_draft(
    image: Image.Image,
    extent: tuple[float, float],
    orientation: int,
    preprocessing: Preprocessing,
) -> Image.Image:
    """The square that `crop` would cut out of the upright image, not yet turned.

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


def _resized(width: float, height: float, edge: int) -> tuple[int, int]:
    long = int(edge * max(width, height) / min(width, height))
    return (edge, long) if width <= height else (long, edge)


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
