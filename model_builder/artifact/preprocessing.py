"""The preprocessing of a checkpoint's images: data that belongs to the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
ChannelOrder = Literal["RGB", "BGR", "L"]
ResizeMode = Literal["crop", "squash", "letterbox"]
Color = tuple[int, int, int]

# Red, green and blue of grey as Pillow's convert("L") computes it, from ITU-R 601-2: in 1/65536.
LUMA = np.array([19595, 38470, 7471]) / 65536

RESAMPLING: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
# Those that libraries compute without antialiasing; nearest has none.
WITHOUT_ANTIALIAS: tuple[Interpolation, ...] = ("nearest", "bilinear", "bicubic")
# Of the resized image; every known network takes less than a quarter of it.
MAX_EDGE = 4096
# On the scale 0 to 255. A smaller one multiplies a level by more than 100, a larger one leaves
# less than a quarter of the range: each is on another scale, or a mistake.
MIN_STD, MAX_STD = 0.01, 1000.0


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize, crop the center, then normalize each channel.

    resize_edge, crop_size: pixels.
    interpolation: nearest takes the pixel at the center of each result pixel, as Pillow and
        TensorFlow do.
    channel_order: "L" for a network of one channel, which gets the grey of ITU-R 601-2. The pixels
        have three equal channels then.
    mean, std: on the scale 0 to 255, in the order of `channel_order`; the network's input is
        `(pixels - mean) / std`. All three are equal for "L".
    resize_mode: "crop" resizes the shorter edge to `resize_edge`, and the longer one follows the
        image's aspect ratio; "squash" resizes both edges to it; "letterbox" resizes the longer edge
        to it, and fills the rest of the square.
    antialias: False where a result pixel is interpolated between its two, or four, neighbors in
        each direction however much the image shrinks: torchvision on tensors with antialias=False,
        `tf.image.resize` (bilinear) and Keras's Resizing.
    fill: RGB, 0 to 255, around a letterboxed image.
    Raises ValueError for values that no network was trained with.
    """

    resize_edge: int
    crop_size: int
    interpolation: Interpolation
    channel_order: ChannelOrder
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_mode: ResizeMode = "crop"
    antialias: bool = True
    fill: Color = (0, 0, 0)

    def __post_init__(self) -> None:
        if not 1 <= self.crop_size <= self.resize_edge:
            raise ValueError(
                "crop_size must be at least 1 and at most resize_edge. "
                f"Received: crop_size={self.crop_size}, resize_edge={self.resize_edge}"
            )
        if self.resize_edge > MAX_EDGE:
            raise ValueError(
                f"resize_edge must be at most {MAX_EDGE}. Received: {self.resize_edge}"
            )
        if self.interpolation not in RESAMPLING:
            raise ValueError(
                f"interpolation must be one of {', '.join(RESAMPLING)}. "
                f"Received: {self.interpolation!r}"
            )
        if not self.antialias and self.interpolation not in WITHOUT_ANTIALIAS:
            raise ValueError(
                f"interpolation must be one of {', '.join(WITHOUT_ANTIALIAS)} without antialias. "
                f"Received: {self.interpolation!r}"
            )
        if self.resize_mode not in ("crop", "squash", "letterbox"):
            raise ValueError(
                f"resize_mode must be crop, squash or letterbox. Received: {self.resize_mode!r}"
            )
        if self.channel_order not in ("RGB", "BGR", "L"):
            raise ValueError(
                f"channel_order must be RGB, BGR or L. Received: {self.channel_order!r}"
            )
        self._check_normalization()
        if not all(0 <= level <= 255 for level in self.fill):
            raise ValueError(f"fill must be three levels of 0 to 255. Received: {self.fill}")

    @property
    def is_extended(self) -> bool:
        """Whether earlier versions, which know crops of two filters alone, would misread it."""
        return (
            self.resize_mode != "crop"
            or not self.antialias
            or self.channel_order == "L"
            or self.interpolation not in ("bilinear", "bicubic")
        )

    def _check_normalization(self) -> None:
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std must be positive. Received: {self.std}")
        if not all(MIN_STD <= value <= MAX_STD for value in self.std):
            raise ValueError(
                f"std must be {MIN_STD} to {MAX_STD:g} on the scale 0 to 255. Received: {self.std}"
            )
        if not all(math.isfinite(value) and 0 <= value <= 255 for value in self.mean):
            raise ValueError(f"mean must be on the scale 0 to 255. Received: {self.mean}")
        if self.channel_order == "L" and not len({*self.mean}) == len({*self.std}) == 1:
            raise ValueError(
                "An image of the channel order L has one channel, and so one mean and one std: "
                f"state each three times. Received: {self.mean}, {self.std}"
            )


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
