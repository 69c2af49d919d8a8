"""The preprocessing of a checkpoint's images: data that belongs to the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

Interpolation = Literal["bilinear", "bicubic"]
ChannelOrder = Literal["RGB", "BGR"]

# Red, green and blue of grey as Pillow's convert("L") computes it, from ITU-R 601-2: in 1/65536.
LUMA = np.array([19595, 38470, 7471]) / 65536

RESAMPLING: dict[Interpolation, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize the shorter edge, crop the center, then normalize each channel.

    resize_edge, crop_size: pixels. The longer edge follows the image's aspect ratio.
    mean, std: on the scale 0 to 255, in the order of `channel_order`; the network's input is
        `(pixels - mean) / std`.
    Raises ValueError for a crop larger than the resized image, or a std that is not positive.
    """

    resize_edge: int
    crop_size: int
    interpolation: Interpolation
    channel_order: ChannelOrder
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not 1 <= self.crop_size <= self.resize_edge:
            raise ValueError(
                "crop_size must be at least 1 and at most resize_edge. "
                f"Received: crop_size={self.crop_size}, resize_edge={self.resize_edge}"
            )
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive. Received: {self.std}")


# keras.applications.imagenet_utils.preprocess_input(mode="caffe"): BGR minus the mean, unscaled.
CAFFE = Preprocessing(
    resize_edge=256,
    crop_size=224,
    interpolation="bilinear",
    channel_order="BGR",
    mean=(103.939, 116.779, 123.68),
    std=(1.0, 1.0, 1.0),
)


def imagenet_rgb(resize_edge: int, interpolation: Interpolation) -> Preprocessing:
    """torchvision's and timm's: RGB scaled to 0 to 1, minus ImageNet's mean, divided by its std.

    resize_edge: crop_size over the crop fraction, rounded down: 235 for timm's 0.95.
    """
    return Preprocessing(
        resize_edge=resize_edge,
        crop_size=224,
        interpolation=interpolation,
        channel_order="RGB",
        mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
        std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
    )
