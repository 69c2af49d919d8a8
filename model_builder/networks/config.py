"""The ResNet family as data: configurations, blocks, shortcuts, and what they cost. Needs no Keras.

Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015
(arXiv 1512.03385), table 1 for the layers per stage and section 4.1 for the shortcut options.
Layers are named after the state dict of torchvision's ResNet, with underscores for dots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from model_builder.networks.blocks import Block, Convolution, strided
from model_builder.networks.head import Activation, HiddenLayer
from model_builder.networks.members import MEMBERS, PLAIN_WIDTH, STEM_WIDTH, Member, check_width
from model_builder.networks.residuals import EXPANSION, STAGE_WIDTHS, residual_blocks
from model_builder.networks.stem import Stem, check_stem, stem_convolutions

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
    stem_width: channels behind the stem, 64 but for deep ones.
    cardinality, width_per_group: groups of a bottleneck's 3x3 convolution, and the filters of each
        in the first stage: 1 and 64 but for ResNeXt and wide ResNets.
    stem, stem_widths, average_pool_shortcut: as in `Member`.
    input_channels: 3, or 1 for a network of grey images, which the inference network makes of RGB.
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
    width_per_group: int = PLAIN_WIDTH
    hidden_layers: tuple[HiddenLayer, ...] = ()
    activation: Activation = "softmax"
    stem: Stem = "7x7"
    stem_widths: tuple[int, ...] = ()
    average_pool_shortcut: bool = False
    input_channels: int = 3

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"name must be letters, digits, '.', '_' and '-'. Received: {self.name!r}"
            )
        if self.block not in EXPANSION:
            raise ValueError(f"block must be basic or bottleneck. Received: {self.block!r}")
        if len(self.layers) != len(STAGE_WIDTHS) or min(self.layers) < 1:
            raise ValueError(f"layers must be four counts of 1 or more. Received: {self.layers!r}")
        if self.shortcut not in ("A", "B", "C", "none"):
            raise ValueError(f"shortcut must be A, B, C or none. Received: {self.shortcut!r}")
        if self.classes < 1:
            raise ValueError(f"classes must be at least 1. Received: {self.classes}")
        if self.activation not in ("softmax", "sigmoid"):
            raise ValueError(
                f"activation must be softmax or sigmoid. Received: {self.activation!r}"
            )
        check_stem(self.stem, self.stem_widths, self.stem_width)
        check_width(self.block, self.cardinality, self.width_per_group)
        if self.input_channels not in (1, 3):
            raise ValueError(f"input_channels must be 1 or 3. Received: {self.input_channels}")
        self._check_name()

    def _check_name(self) -> None:
        """Raises ValueError where the name is that of another network."""
        shape = self.block, self.layers
        if RESNETS.get(self.name, shape) != shape:
            raise ValueError(f"{self.name} has {RESNETS[self.name]!r}. Received: {shape!r}")
        row = MEMBERS.get(self.name, Member(self.name) if self.name in RESNETS else self.member)
        if row != self.member:
            raise ValueError(f"{self.name} has {row!r}. Received: {self.member!r}")

    @classmethod
    def of(
        cls,
        name: str,
        shortcut: Shortcut = "B",
        stride_in_1x1: bool = False,
        batch_norm_epsilon: float = 1e-5,
        classes: int = 1000,
    ) -> ResNetConfig:
        """The network that RESNETS or MEMBERS has under this name. Raises ValueError."""
        if name not in (*RESNETS, *MEMBERS):
            raise ValueError(
                f"name must be one of {', '.join((*RESNETS, *MEMBERS))}. Received: {name!r}"
            )
        row = MEMBERS.get(name, Member(name))
        block, layers = RESNETS[row.base]
        changed = {field: value for field, value in asdict(row).items() if field != "base"}
        stated = shortcut, stride_in_1x1, batch_norm_epsilon, classes
        return cls(name, block, layers, *stated, **changed)

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
    def base(self) -> str:
        """The ResNet of the paper with the same blocks, "resnet50" of "resnext50_32x4d"; the name
        of a network with other blocks.
        """
        shape = self.block, self.layers
        return next((name for name, row in RESNETS.items() if row == shape), self.name)

    @property
    def member(self) -> Member:
        """What is changed of the base. A stem of one 3x3 convolution makes no other member."""
        return Member(
            self.base,
            "deep" if self.stem == "deep" else "7x7",
            self.stem_widths,
            self.average_pool_shortcut,
            self.cardinality,
            self.width_per_group,
            self.stem_width,
        )

    @property
    def stem_convolutions(self) -> tuple[Convolution, ...]:
        """The convolutions on the image, in order."""
        return stem_convolutions(self.stem, self.input_channels, self.stem_widths, self.stem_width)

    @property
    def max_pool_stride(self) -> int:
        """2, or 1 where there is no max pool."""
        return 1 if self.stem == "3x3" else 2

    def blocks(self) -> Iterator[Block]:
        """Every residual block, from the image to the classifier."""
        return residual_blocks(self)

    def convolutions(self) -> Iterator[Convolution]:
        """The stem's, then every convolution of every block, projections included."""
        yield from self.stem_convolutions
        for block in self.blocks():
            yield from block.all_convolutions()

    def parameters(self) -> int:
        """Trainable parameters: convolutions, batch norm scales and shifts, the classifier."""
        head = sum((inputs + 1) * outputs for inputs, outputs in self.head_shapes())
        return head + sum(c.weights + 2 * c.filters for c in self.convolutions())

    def macs(self, input_size: int = 224) -> int:
        """Multiply-accumulate operations of one forward pass over a square image."""
        size, total = input_size, 0
        for convolution in self.stem_convolutions:
            size = strided(size, convolution.stride)
            total += convolution.weights * size**2
        size = strided(size, self.max_pool_stride)
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
