"""What flows between the layers of a Keras network: an image, a feature map, features, logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from model_builder.networks.head import Activation

DenseKind = Literal["dense", "batch_norm"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done to an image before the first convolution.

    kind: "affine" (scale and offset, of one or three numbers), "order" (of the channels),
    "normalize" (a layer's name, or mean and variance), "resize" (fields of `Preprocessing`, and a
    fill value), "crop" (a size), "preprocess_input".
    """

    kind: str
    layer: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """Pixels as they come in, and what was done to them. edge: their size, None if any.

    channels: 3, or 1 for grey.
    """

    edge: int | None
    channels: int
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of an image."""

    image: Image
    index: int


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Anything from the first convolution to the pooling. image: what the convolution gets."""

    image: Image | None


@dataclass(frozen=True, slots=True)
class HeadLayer:
    """One layer of the classifier. name: of its tensors. relu: whether one follows it."""

    kind: DenseKind
    name: str
    relu: bool = False
    epsilon: float | None = None


@dataclass(frozen=True, slots=True)
class Features:
    """Pooled features, and what a classifier makes of them.

    pool_edge: of the square that AveragePooling2D averages; None where all of the map is.
    is_map: whether a Flatten is still to come. activation: None for logits.
    """

    image: Image | None
    pool_edge: int | None = None
    is_map: bool = False
    layers: tuple[HeadLayer, ...] = ()
    activation: Activation | None = None


Value = Image | Channel | FeatureMap | Features
