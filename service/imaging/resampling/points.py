"""Resizing without antialiasing: each pixel is interpolated between its nearest in the image.

The positions are those of torch.nn.functional.interpolate with align_corners=False, which
torchvision has on tensors with antialias=False, and of tf.image.resize: pixel i of the result is at
`(i + 0.5) * scale - 0.5`. Beyond the image's edge its last pixel is repeated, as in PyTorch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_builder.artifact.preprocessing import Interpolation

Floats = npt.NDArray[np.float64]
# Of the cubic convolution kernel: PyTorch's. Pillow's with antialiasing is -0.5.
CUBIC_A = -0.75
# Of the result at a time: all of the image as an array is a second copy of it.
BLOCK_ROWS = 16


def resize_part(
    image: Image.Image,
    size: tuple[int, int],
    part: tuple[int, int, int, int],
    interpolation: Interpolation,
) -> Image.Image:
    """A part of the image resized without antialiasing, rounded half to even and clipped.

    image: of a mode with 8 bits a channel. size: width and height of the whole result. part: left,
    top, width and height in it. interpolation: bilinear or bicubic.
    """
    left, top, width, height = part
    columns, across = _taps(image.width, size[0], left, width, interpolation)
    rows, down = _taps(image.height, size[1], top, height, interpolation)
    blocks = [slice(at, at + BLOCK_ROWS) for at in range(0, height, BLOCK_ROWS)]
    resized = [_interpolated(image, rows[b], down[b], columns, across) for b in blocks]
    return Image.fromarray(np.concatenate(resized), image.mode)


def _interpolated(
    image: Image.Image,
    rows: npt.NDArray[np.intp],
    down: Floats,
    columns: npt.NDArray[np.intp],
    across: Floats,
) -> npt.NDArray[np.uint8]:
    """Result pixels of consecutive rows. rows, columns: indices. down, across: their weights."""
    top, left = rows.min(), columns.min()
    strip = np.asarray(image.crop((left, top, columns.max() + 1, rows.max() + 1)))
    strip = strip.reshape(*strip.shape[:2], -1)
    total = np.zeros((len(rows), len(columns), strip.shape[2]))
    for row, row_weights in zip(rows.T - top, down.T, strict=True):
        for column, column_weights in zip(columns.T - left, across.T, strict=True):
            weights = np.multiply.outer(row_weights, column_weights)
            total += strip[np.ix_(row, column)] * weights[..., None]
    pixels = np.clip(np.rint(total), 0, 255).astype(np.uint8)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _taps(
    pixels: int, resized: int, start: int, size: int, interpolation: Interpolation
) -> tuple[npt.NDArray[np.intp], Floats]:
    """Indices of the image's pixels and their weights [size, 2 or 4] along one axis."""
    position = (np.arange(start, start + size) + 0.5) * (pixels / resized) - 0.5
    if interpolation == "bilinear":
        position = np.maximum(position, 0)
    first = np.floor(position)
    part = position - first
    if interpolation == "bilinear":
        offsets, weights = np.arange(2), np.stack([1 - part, part], axis=-1)
    else:
        distances = np.abs(np.stack([part + 1, part, part - 1, part - 2], axis=-1))
        offsets, weights = np.arange(-1, 3), _cubic(distances)
    indices = first[:, None].astype(np.intp) + offsets
    return np.clip(indices, 0, pixels - 1), weights


def _cubic(x: Floats) -> Floats:
    """Keys's cubic convolution at distances 0 to 2."""
    a = CUBIC_A
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x <= 1, near, far)
