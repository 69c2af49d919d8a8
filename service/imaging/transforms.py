"""Geometry of an image: orientation, the shorter edge resized, the center cropped."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
# Orientations whose stored rows are the columns of the scene.
TURNED = {5, 6, 7, 8}
# How far each filter reaches, in pixels of the smaller of the two images.
SUPPORT = {Image.Resampling.BILINEAR: 1, Image.Resampling.BICUBIC: 2}
# A longer image is cropped to this aspect ratio first; resizing all of it could take gigabytes.
ASPECT_LIMIT = 8
# Rows that the crop does not need are cut off first where they are more than this part of all.
UNUSED_ROWS = 0.1
# Pillow takes a resize's box in 32-bit floats, which hold every integer up to this.
FLOAT32_INTEGERS = 2**24
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
    width, height = _resized(*image.size, edge)
    if image.size == (width, height):
        return _center(image, size, size)
    across = _Axis(image.width, width, round((width - size) / 2), size)
    down = _Axis(image.height, height, round((height - size) / 2), size)
    resampling = RESAMPLING[preprocessing.interpolation]
    if _columns_first(across, down):
        return _center(image.resize((width, height), resampling), size, size)
    return _resize_crop(image, across, down, resampling)


@dataclass(frozen=True, slots=True)
class _Axis:
    """The rows or the columns of a resize of which a part is kept.

    pixels: of the image. resized: of the whole result. start, size: of the part, in the result.
    """

    pixels: int
    resized: int
    start: int
    size: int

    @property
    def scale(self) -> float:
        return self.pixels / self.resized

    @property
    def exact(self) -> bool:
        """Whether a resize of the part's box has the same weights as a resize of the whole.

        Pillow computes them in doubles from the box, `(i + 0.5) * scale + start`. No step is
        rounded where the scale's denominator is a power of two: the edge of 256 from any image.
        """
        denominator = self.resized // math.gcd(self.pixels, self.resized)
        is_power_of_two = denominator & (denominator - 1) == 0
        return is_power_of_two and self.pixels * denominator < FLOAT32_INTEGERS

    @property
    def box(self) -> tuple[float, float]:
        """Where the part begins and ends in the image."""
        return self.start * self.scale, (self.start + self.size) * self.scale

    def needed(self, resampling: Image.Resampling) -> tuple[int, int]:
        """The first of the image's pixels that the part is computed from, and one past the last."""
        support = SUPPORT[resampling] * max(self.scale, 1)
        start, end = self.box
        first, last = math.floor(start - support) - 1, math.ceil(end + support) + 1
        return max(first, 0), min(last, self.pixels)


def _resize_crop(
    image: Image.Image, across: _Axis, down: _Axis, resampling: Image.Resampling
) -> Image.Image:
    """The part of the resized image, bit for bit, without computing all of the rest.

    Pillow resizes rows, rounds to 8 bits and resizes columns. Each step is limited to the part's
    box where that is exact; otherwise it is done for the whole, and cropped before the next step.
    """
    first, end = down.needed(resampling)
    rows = image
    if end - first > (1 - UNUSED_ROWS) * image.height:
        first = 0
    else:
        rows = image.crop((0, first, image.width, end))
    if across.exact:
        left, right = across.box
        narrow = rows.resize((across.size, rows.height), resampling, (left, 0, right, rows.height))
    else:
        wide = rows.resize((across.resized, rows.height), resampling)
        narrow = wide.crop((across.start, 0, across.start + across.size, wide.height))
    if down.exact:
        top, bottom = down.box
        box = (0, top - first, across.size, bottom - first)
        return narrow.resize((across.size, down.size), resampling, box)
    if rows is not image:
        # Black where rows were cut off: no pixel of the part depends on those.
        narrow = narrow.crop((0, -first, across.size, down.pixels - first))
    resized = narrow.resize((across.size, down.resized), resampling)
    return resized.crop((0, down.start, across.size, down.start + down.size))


def _columns_first(across: _Axis, down: _Axis) -> bool:
    """Whether Pillow resizes columns before rows, as it does from version 13 on where the height
    shrinks by more than twice what the width does.
    """
    shrinks = down.pixels - down.resized
    return shrinks > 0 and shrinks > 2 * (across.pixels - across.resized)


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


def crop_box(
    width: int, height: int, preprocessing: Preprocessing
) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what `crop` shows of an upright image, in its own pixels.

    May reach beyond the image by what rounding a corner moves: less than a pixel of the crop.
    """
    size, longest = preprocessing.crop_size, ASPECT_LIMIT * min(width, height)
    middle = min(width, longest), min(height, longest)
    corner = round((width - middle[0]) / 2), round((height - middle[1]) / 2)
    resized = _resized(*middle, preprocessing.resize_edge)
    starts = [round((length - size) / 2) for length in resized]
    scales = [length / shown for length, shown in zip(middle, resized, strict=True)]
    left, top = (
        first + start * scale for first, start, scale in zip(corner, starts, scales, strict=True)
    )
    return left, top, left + size * scales[0], top + size * scales[1]
