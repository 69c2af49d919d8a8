"""Geometry of an image: orientation, the shorter edge resized, the center cropped."""

from __future__ import annotations

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from model_builder.artifact.preprocessing import RESAMPLING, Preprocessing

# Exif 2.32, section 4.6.4 A: the operation that makes each orientation upright.
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Orientations whose stored rows show the scene from right to left, and whose columns show it from
# bottom to top.
RIGHT_TO_LEFT = {2, 3, 7, 8}
BOTTOM_TO_TOP = {3, 4, 6, 7}
# A longer image is cropped to this aspect ratio first; resizing all of it could take gigabytes.
ASPECT_LIMIT = 8
# A JPEG is decoded at no less than this many times the size that it is resized to.
DRAFT_GAP = 2


def crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Resizes the shorter edge to `resize_edge`, antialiased, and crops the center to `crop_size`.

    The same pixels as torchvision's Resize and CenterCrop on Pillow images: the longer edge is
    truncated, the crop's corner is rounded half to even. Beyond ASPECT_LIMIT only the middle is
    resized.
    """
    edge, size = preprocessing.resize_edge, preprocessing.crop_size
    longest = ASPECT_LIMIT * min(image.size)
    if max(image.size) > longest:
        image = _center(image, min(image.width, longest), min(image.height, longest))
    resized = _resized(*image.size, edge)
    if image.size != resized:
        image = image.resize(resized, RESAMPLING[preprocessing.interpolation])
    return _center(image, size, size)


def apply_orientation(image: Image.Image, orientation: int) -> Image.Image:
    """The upright image. orientation: Exif's, 1 to 8."""
    transpose = TRANSPOSES.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def draft(image: Image.Image, preprocessing: Preprocessing) -> tuple[float, float] | None:
    """Makes libjpeg decode a large JPEG at a half, a quarter or an eighth of its size.

    Returns the width and height in reduced pixels that belong to the image, which are fractions
    because the last column and row may be partly padding; None for an image that is decoded whole.
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
    """The square that `crop` cuts out of the upright image, still as it is stored.

    extent: from `draft`. orientation: Exif's, 1 to 8. Only the square is resized, from a box in
    32-bit floats, so that pixels may differ by a level from those of `crop`.
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


def _center(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
