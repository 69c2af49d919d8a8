"""A class activation map as a picture to lay over the image that it is of."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float32]

# Of the longer edge: a map has seven places along it, and a browser enlarges the picture.
MAX_EDGE = 256
LEVELS = 256
# Of the place with most evidence, 0 to 255; a place without any is transparent.
MAX_ALPHA = 200
# matplotlib's colormap "inferno" at equal distances (Smith and van der Walt, CC0).
ANCHORS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
COMPRESSION = 1


def overlay_png(
    values: Array,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    max_edge: int = MAX_EDGE,
) -> bytes:
    """A PNG with alpha in the aspect ratio of the image, transparent outside of the box.

    values: one class's map, float32 [h, w]. Only evidence for the class is shown, as a part of the
    map's maximum: negative values are transparent. box: left, top, right, bottom of the crop in
    pixels of the image. size: the image's width and height, upright. The PNG's longer edge has
    `max_edge` pixels at most.
    """
    scale = min(1, max_edge / max(size))
    width, height = (max(1, round(length * scale)) for length in size)
    left, right = _span(box[0], box[2], width / size[0])
    top, bottom = _span(box[1], box[3], height / size[1])
    levels = np.zeros((height, width), np.uint8)
    heat = Image.fromarray(_parts(values))
    stretched = heat.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    rows, columns = slice(max(0, top), max(0, bottom)), slice(max(0, left), max(0, right))
    shown = np.asarray(stretched)[max(0, -top) :, max(0, -left) :]
    target = levels[rows, columns]
    target[...] = np.rint(shown[: target.shape[0], : target.shape[1]] * (LEVELS - 1))
    picture = Image.fromarray(levels, "P")
    picture.putpalette(PALETTE)
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=ALPHAS, compress_level=COMPRESSION)
    return file.getvalue()


def _span(start: float, end: float, scale: float) -> tuple[int, int]:
    first = round(start * scale)
    return first, max(first + 1, round(end * scale))


def _parts(values: Array) -> Array:
    """0 to 1, of the maximum; zeros where there is no evidence at all."""
    evidence = np.maximum(values, 0)
    most = evidence.max()
    return np.asarray(evidence / most if most else evidence, np.float32)


def _palette() -> bytes:
    places = np.linspace(0, len(ANCHORS) - 1, LEVELS)
    channels = [
        np.interp(places, range(len(ANCHORS)), channel) for channel in zip(*ANCHORS, strict=True)
    ]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8).tobytes()


PALETTE = _palette()
ALPHAS = np.rint(np.linspace(0, MAX_ALPHA, LEVELS)).astype(np.uint8).tobytes()
