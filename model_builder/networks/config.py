"""The ResNet family as data: depths, blocks, shortcuts, and what they cost. Needs no Keras.

Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015
(arXiv 1512.03385), table 1 for the depths and section 4.1 for the shortcut options.
Layers are named after the state dict of torchvision's ResNet, with underscores for dots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Shortcut = Literal["A", "B", "C", "none"]
BlockKind = Literal["basic", "bottleneck"]

DEPTHS: dict[int, tuple[BlockKind, tuple[int, int, int, int]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
STEM_WIDTH = 64
MAXPOOL_STRIDE = 2
STAGE_WIDTHS = (64, 128, 256, 512)
EXPANSION: dict[BlockKind, int] = {"basic": 1, "bottleneck": 4}


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution without bias, and the batch norm behind it."""

    name: str
    batch_norm: str
    in_channels: int
    filters: int
    kernel: int
    stride: int

    @property
    def weights(self) -> int:
        return self.kernel**2 * self.in_channels * self.filters


@dataclass(frozen=True, slots=True)
class Block:
    """One residual block: its convolutions in order, and what its shortcut does.

    `projection` is None where the shortcut carries no weights; it then subsamples by `stride`
    and fills `filters - in_channels` new channels with zeros, both of which may be nothing.
    """

    name: str
    stage: int
    in_channels: int
    filters: int
    stride: int
    convolutions: tuple[Convolution, ...]
    projection: Convolution | None
    has_shortcut: bool

    def outputs(self, input_size: int) -> Iterator[tuple[Convolution, int]]:
        """Each convolution and the edge of the square it leaves, given one of `input_size`."""
        if self.projection is not None:
            yield self.projection, strided(input_size, self.projection.stride)
        size = input_size
        for convolution in self.convolutions:
            size = strided(size, convolution.stride)
            yield convolution, size

    def all_convolutions(self) -> tuple[Convolution, ...]:
        return (
            self.convolutions if self.projection is None else (*self.convolutions, self.projection)
        )


@dataclass(frozen=True, slots=True)
class ResNetConfig:
    """One network of the family.

    shortcut: "A" subsamples and pads new channels with zeros, "B" projects where the shape
        changes, "C" projects always (section 4.1); "none" is the plain network, without shortcuts.
    stride_in_1x1: where a bottleneck halves the image: on its first 1x1 convolution (the paper
        and Keras, "v1") or on its 3x3 (torchvision and most others, "v1.5").
    batch_norm_epsilon: part of a checkpoint as much as its weights are.
    """

    depth: int
    shortcut: Shortcut = "B"
    stride_in_1x1: bool = False
    batch_norm_epsilon: float = 1e-5
    classes: int = 1000

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise ValueError(
                f"depth must be one of {', '.join(map(str, DEPTHS))}. Received: {self.depth}"
            )
        if self.shortcut not in ("A", "B", "C", "none"):
            raise ValueError(f"shortcut must be A, B, C or none. Received: {self.shortcut!r}")
        if self.classes < 1:
            raise ValueError(f"classes must be at least 1. Received: {self.classes}")

    @property
    def block_kind(self) -> BlockKind:
        return DEPTHS[self.depth][0]

    @property
    def blocks_per_stage(self) -> tuple[int, int, int, int]:
        return DEPTHS[self.depth][1]

    @property
    def feature_width(self) -> int:
        """Channels of the last feature map: 512 or 2048."""
        return STAGE_WIDTHS[-1] * EXPANSION[self.block_kind]

    @property
    def stem(self) -> Convolution:
        return Convolution("conv1", "bn1", 3, STEM_WIDTH, kernel=7, stride=2)

    def blocks(self) -> Iterator[Block]:
        """Every residual block, from the image to the classifier."""
        channels = STEM_WIDTH
        for stage, (width, count) in enumerate(
            zip(STAGE_WIDTHS, self.blocks_per_stage, strict=True), start=1
        ):
            for index in range(count):
                stride = 2 if stage > 1 and index == 0 else 1
                block = self._block(f"layer{stage}_{index}", stage, channels, width, stride)
                channels = block.filters
                yield block

    def _block(self, name: str, stage: int, channels: int, width: int, stride: int) -> Block:
        filters = width * EXPANSION[self.block_kind]

        def convolution(
            index: int, in_channels: int, filters: int, kernel: int, stride: int = 1
        ) -> Convolution:
            return Convolution(
                f"{name}_conv{index}", f"{name}_bn{index}", in_channels, filters, kernel, stride
            )

        if self.block_kind == "basic":
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
        head = (self.feature_width + 1) * self.classes
        return head + sum(c.weights + 2 * c.filters for c in self.convolutions())

    def macs(self, input_size: int = 224) -> int:
        """Multiply-accumulate operations of one forward pass over a square image."""
        size = strided(input_size, self.stem.stride)
        total = self.stem.weights * size**2
        size = strided(size, MAXPOOL_STRIDE)
        for block in self.blocks():
            total += sum(c.weights * edge**2 for c, edge in block.outputs(size))
            size = strided(size, block.stride)
        return total + self.feature_width * self.classes


def strided(size: int, stride: int) -> int:
    """Output edge of a layer with half its kernel as padding."""
    return -(-size // stride)
