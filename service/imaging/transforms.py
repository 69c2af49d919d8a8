"""Geometry of an image: its orientation, the resize that a network was trained with, the crop."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from model_builder.artifact.preprocessing import RESAMPLING, Preprocessing
from service.imaging.resampling.geometry import middle_size, resized_size
from service.imaging.resampling.points import resize_part

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
SUPPORT = {
    Image.Resampling.BOX: 1,
    Image.Resampling.BILINEAR: 1,
    Image.Resampling.HAMMING: 1,
    Image.Resampling.BICUBIC: 2,
    Image.Resampling.LANCZOS: 3,
}
# Rows that the crop does not need are cut off first where they are more than this part of all.
UNUSED_ROWS = 0.1
# Pillow takes a resize's box in 32-bit floats, which hold every integer up to this.
FLOAT32_INTEGERS = 2**24
# A JPEG is decoded at no less than this many times the size that it is resized to.
DRAFT_GAP = 2


def crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Resizes the image as `resize_mode` says, and crops the center to `crop_size`.

    The same pixels as torchvision's Resize and CenterCrop on Pillow images: the longer edge is
    truncated, the crop's corner is rounded half to even. A letterboxed image has no borders yet:
    `add_borders`. Beyond ASPECT_LIMIT only the middle is resized, where the shorter edge is.
    """
    middle = middle_size(*image.size, preprocessing)
    if middle != image.size:
        image = _center(image, *middle)
    width, height = resized_size(*image.size, preprocessing)
    across, down = _axes(*image.size, preprocessing)
    if image.size == (width, height):
        return _center(image, across.size, down.size)
    resampling = RESAMPLING[preprocessing.interpolation]
    if resampling is Image.Resampling.NEAREST:
        return _center(image.resize((width, height), resampling), across.size, down.size)
    if not preprocessing.antialias:
        return resize_part(
            image,
            (width, height),
            (across.start, down.start, across.size, down.size),
            preprocessing.interpolation,
        )
    if _columns_first(across, down):
        return _center(image.resize((width, height), resampling), across.size, down.size)
    return _resize_crop(image, across, down, resampling)


def add_borders(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The square of `crop_size` with a letterboxed image in its middle; every other unchanged.

    image: RGB, from `crop` or `crop_draft`. The smaller half of an odd border is left or above, as
    timm's CenterCropOrPad has it.
    """
    size = preprocessing.crop_size
    if image.size == (size, size):
        return image
    square = Image.new("RGB", (size, size), preprocessing.fill)
    square.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return square


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
    because the last column and row may be partly padding; None for an image that is decoded whole:
    one that is not much larger, or is resized without averaging, as the network was trained.
    """
    averages = preprocessing.antialias and preprocessing.interpolation != "nearest"
    if not averages or not isinstance(image, JpegImageFile):
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
    """What `crop` cuts out of the upright image, still as it is stored.

    extent: from `draft`. orientation: Exif's, 1 to 8. Only that part is resized, from a box in
    32-bit floats, so that pixels may differ by a level from those of `crop`.
    """
    width, height = resized_size(*extent, preprocessing)
    part_width = min(width, preprocessing.crop_size)
    part_height = min(height, preprocessing.crop_size)
    left, top = round((width - part_width) / 2), round((height - part_height) / 2)
    if orientation in RIGHT_TO_LEFT:
        left = width - part_width - left
    if orientation in BOTTOM_TO_TOP:
        top = height - part_height - top
    across, down = extent[0] / width, extent[1] / height
    box = (left * across, top * down, (left + part_width) * across, (top + part_height) * down)
    return image.resize((part_width, part_height), RESAMPLING[preprocessing.interpolation], box)


def _axes(width: int, height: int, preprocessing: Preprocessing) -> tuple[_Axis, _Axis]:
    """The columns and the rows of the part that is kept of an image of this size."""
    across, down = (
        _Axis(pixels, resized, round((resized - size) / 2), size)
        for pixels, resized in zip(
            (width, height), resized_size(width, height, preprocessing), strict=True
        )
        for size in [min(resized, preprocessing.crop_size)]
    )
    return across, down


def _center(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
