"""The ResNet family as data: configurations, blocks, shortcuts, and what they cost. Needs no Keras.

Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015
(arXiv 1512.03385), table 1 for the layers per stage and section 4.1 for the shortcut options.
Layers are named after the state dict of torchvision's ResNet, with underscores for dots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from model_builder.networks.blocks import Block, Convolution, strided
from model_builder.networks.head import Activation, HiddenLayer

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

Shortcut = Literal["A", "B", "C", "none"]
BlockKind = Literal["basic", "bottleneck"]
Layers = tuple[int, int, int, int]

NAME = re.compile(r"[A-Za-z0-9._-]+")
# Name, kind of block, blocks in each of the four stages: table 1 of the paper.
RESNETS: dict[str, tuple[BlockKind, Layers]] = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
}
STEM_WIDTH = 64
WIDTH_PER_GROUP = 64
MAXPOOL_STRIDE = 2
STAGE_WIDTHS = (64, 128, 256, 512)
EXPANSION: dict[BlockKind, int] = {"basic": 1, "bottleneck": 4}
CONVOLUTIONS_PER_BLOCK: dict[BlockKind, int] = {"basic": 2, "bottleneck": 3}


def count_layers(block: BlockKind, layers: Layers) -> int:
    """Depth as the paper counts it: the stem, the blocks' convolutions and the classifier."""
    return 2 + CONVOLUTIONS_PER_BLOCK[block] * sum(layers)


# In the order of RESNETS: 18, 34, 50, 101, 152.
DEPTHS = tuple(count_layers(*row) for row in RESNETS.values())


def name_of_depth(depth: int) -> str:
    """The family's name for a depth: "resnet50" for 50. Raises ValueError."""
    if depth not in DEPTHS:
        raise ValueError(f"depth must be one of {', '.join(map(str, DEPTHS))}. Received: {depth}")
    return list(RESNETS)[DEPTHS.index(depth)]


@dataclass(frozen=True, slots=True)
class ResNetConfig:
    """One network of the family. `ResNetConfig.of` makes one from its name in RESNETS.

    layers: blocks in each of the four stages.
    shortcut: "A" subsamples and pads new channels with zeros, "B" projects where the shape
        changes, "C" projects always (section 4.1); "none" is the plain network, without shortcuts.
    stride_in_1x1: where a bottleneck halves the image: in its first 1x1 convolution (the paper
        and Keras, "v1") or in its 3x3 (torchvision and most others, "v1.5").
    batch_norm_epsilon: belongs to the checkpoint, as the weights do.
    hidden_layers: of the classifier, between the pooled features and its last dense layer.
    activation: "softmax" where every image has one class; "sigmoid" where the classes are
        independent of each other, or there is one.
    stem_width, cardinality, width_per_group: of ResNeXt and wide ResNets (arXiv 1611.05431,
        1605.07146). Only the plain ResNet's values are built.
    """

    name: str
    block: BlockKind
    layers: Layers
    shortcut: Shortcut = "B"
    stride_in_1x1: bool = False
    batch_norm_epsilon: float = 1e-5
    classes: int = 1000
    stem_width: int = STEM_WIDTH
    cardinality: int = 1
    width_per_group: int = WIDTH_PER_GROUP
    hidden_layers: tuple[HiddenLayer, ...] = ()
    activation: Activation = "softmax"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"name must be letters, digits, '.', '_' and '-'. Received: {self.name!r}"
            )
        if self.block not in EXPANSION:
            raise ValueError(f"block must be basic or bottleneck. Received: {self.block!r}")
        if len(self.layers) != len(STAGE_WIDTHS) or min(self.layers) < 1:
            raise ValueError(f"layers must be four counts of 1 or more. Received: {self.layers!r}")
        shape = self.block, self.layers
        if RESNETS.get(self.name, shape) != shape:
            raise ValueError(f"{self.name} has {RESNETS[self.name]!r}. Received: {shape!r}")
        if self.shortcut not in ("A", "B", "C", "none"):
            raise ValueError(f"shortcut must be A, B, C or none. Received: {self.shortcut!r}")
        if self.classes < 1:
            raise ValueError(f"classes must be at least 1. Received: {self.classes}")
        if self.activation not in ("softmax", "sigmoid"):
            raise ValueError(
                f"activation must be softmax or sigmoid. Received: {self.activation!r}"
            )
        for field, built in (
            ("stem_width", STEM_WIDTH),
            ("cardinality", 1),
            ("width_per_group", WIDTH_PER_GROUP),
        ):
            if (value := getattr(self, field)) != built:
                raise ValueError(f"{field} must be {built}: no other is built. Received: {value}")

    @classmethod
    def of(
        cls,
        name: str,
        shortcut: Shortcut = "B",
        stride_in_1x1: bool = False,
        batch_norm_epsilon: float = 1e-5,
        classes: int = 1000,
    ) -> ResNetConfig:
        """The network that RESNETS has under this name. Raises ValueError."""
        if name not in RESNETS:
            raise ValueError(f"name must be one of {', '.join(RESNETS)}. Received: {name!r}")
        block, layers = RESNETS[name]
        return cls(name, block, layers, shortcut, stride_in_1x1, batch_norm_epsilon, classes)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[ResNetConfig], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Validation that also accepts the JSON of earlier versions, which state only a depth."""
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_name_depth, handler(source))

    @property
    def depth(self) -> int:
        """Layers with weights on the longest path, as in the paper: 50 for "resnet50"."""
        return count_layers(self.block, self.layers)

    @property
    def feature_width(self) -> int:
        """Channels of the last feature map: 512 or 2048."""
        return STAGE_WIDTHS[-1] * EXPANSION[self.block]

    def head_shapes(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each dense layer of the classifier, in order."""
        widths = [
            self.feature_width,
            *(layer.width for layer in self.hidden_layers),
            self.classes,
        ]
        return list(pairwise(widths))

    @property
    def has_extended_head(self) -> bool:
        """Whether the classifier is more than one dense layer with a softmax."""
        return bool(self.hidden_layers) or self.activation != "softmax"

    @property
    def stem(self) -> Convolution:
        """The 7x7 convolution on the image."""
        return Convolution("conv1", "bn1", 3, self.stem_width, kernel=7, stride=2)

    def blocks(self) -> Iterator[Block]:
        """Every residual block, from the image to the classifier."""
        channels = self.stem_width
        for stage, (width, count) in enumerate(
            zip(STAGE_WIDTHS, self.layers, strict=True), start=1
        ):
            for index in range(count):
                stride = 2 if stage > 1 and index == 0 else 1
                block = self._block(f"layer{stage}_{index}", stage, channels, width, stride)
                channels = block.filters
                yield block

    def _block(self, name: str, stage: int, channels: int, width: int, stride: int) -> Block:
        filters = width * EXPANSION[self.block]

        def convolution(
            index: int, in_channels: int, filters: int, kernel: int, stride: int = 1
        ) -> Convolution:
            return Convolution(
                f"{name}_conv{index}", f"{name}_bn{index}", in_channels, filters, kernel, stride
            )

        if self.block == "basic":
            convolutions: tuple[Convolution, ...] = (
                convolution(1, channels, width, 3, stride),
                convolution(2, width, width, 3),
            )
        else:
            first, second = (stride, 1) if self.stride_in_1x1 else (1, stride)
            convolutions = (
                convolution(1, channels, width, 1, first),
                convolution(2, width, width, 3, second),
                convolution(3, width, filters, 1),
            )
        changes = stride > 1 or channels != filters
        projects = self.shortcut == "C" or (self.shortcut == "B" and changes)
        projection = (
            Convolution(
                f"{name}_downsample_0", f"{name}_downsample_1", channels, filters, 1, stride
            )
            if projects
            else None
        )
        return Block(
            name,
            stage,
            channels,
            filters,
            stride,
            convolutions,
            projection,
            self.shortcut != "none",
        )

    def convolutions(self) -> Iterator[Convolution]:
        """The stem, then every convolution of every block, projections included."""
        yield self.stem
        for block in self.blocks():
            yield from block.all_convolutions()

    def parameters(self) -> int:
        """Trainable parameters: convolutions, batch norm scales and shifts, the classifier."""
        head = sum((inputs + 1) * outputs for inputs, outputs in self.head_shapes())
        return head + sum(c.weights + 2 * c.filters for c in self.convolutions())

    def macs(self, input_size: int = 224) -> int:
        """Multiply-accumulate operations of one forward pass over a square image."""
        size = strided(input_size, self.stem.stride)
        total = self.stem.weights * size**2
        size = strided(size, MAXPOOL_STRIDE)
        for block in self.blocks():
            total += sum(c.weights * edge**2 for c, edge in block.outputs(size))
            size = strided(size, block.stride)
        return total + sum(inputs * outputs for inputs, outputs in self.head_shapes())


def _name_depth(value: Any) -> Any:
    """Replaces the depth of earlier versions' JSON by name, block and layers."""
    if not isinstance(value, dict) or "depth" not in value or "name" in value:
        return value
    fields = {key: field for key, field in value.items() if key != "depth"}
    name = name_of_depth(value["depth"])
    block, layers = RESNETS[name]
    return {"name": name, "block": block, "layers": layers, **fields}
