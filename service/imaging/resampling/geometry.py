"""The sizes that a recipe gives an image, and which part of it the network sees."""

from __future__ import annotations

from model_builder.artifact.preprocessing import Preprocessing

# A longer image is cropped to this aspect ratio first; resizing all of it could take gigabytes.
ASPECT_LIMIT = 8


def resized_size(width: float, height: float, preprocessing: Preprocessing) -> tuple[int, int]:
    """The size of the whole resized image."""
    edge, longer, shorter = preprocessing.resize_edge, max(width, height), min(width, height)
    if preprocessing.resize_mode == "squash":
        return edge, edge
    if preprocessing.resize_mode == "letterbox":
        # As timm's ResizeKeepRatio; a line of pixels stays a line.
        short = max(1, round(edge * shorter / longer))
        return (short, edge) if width <= height else (edge, short)
    long = int(edge * longer / shorter)
    return (edge, long) if width <= height else (long, edge)


def middle_size(width: int, height: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """The size of the part that is resized: all of the image, or its middle where it is long."""
    if preprocessing.resize_mode != "crop":
        return width, height
    longest = ASPECT_LIMIT * min(width, height)
    return min(width, longest), min(height, longest)


def crop_box(
    width: int, height: int, preprocessing: Preprocessing
) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what a network sees of an upright image, in its own pixels.

    May reach beyond the image: by the borders of a letterboxed one, and else by what rounding a
    corner moves, less than a pixel of the crop.
    """
    size, middle = preprocessing.crop_size, middle_size(width, height, preprocessing)
    corner = round((width - middle[0]) / 2), round((height - middle[1]) / 2)
    resized = resized_size(*middle, preprocessing)
    # As `transforms.crop` and `add_borders` round.
    starts = [
        round((length - size) / 2) if length >= size else -((size - length) // 2)
        for length in resized
    ]
    scales = [length / shown for length, shown in zip(middle, resized, strict=True)]
    left, top = (
        first + start * scale for first, start, scale in zip(corner, starts, scales, strict=True)
    )
    return left, top, left + size * scales[0], top + size * scales[1]
