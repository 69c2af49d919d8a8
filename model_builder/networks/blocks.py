"""Convolutions and residual blocks as data: channels, kernels, strides. Needs no Keras."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Convolution:
    """One square convolution without bias, and the name of the batch norm that follows it.

    groups: each group of filters sees its own group of input channels (arXiv 1611.05431).
    """

    name: str
    batch_norm: str
    in_channels: int
    filters: int
    kernel: int
    stride: int
    groups: int = 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The kernel's, [height, width, input channels of a group, filters]."""
        return self.kernel, self.kernel, self.in_channels // self.groups, self.filters

    @property
    def weights(self) -> int:
        """Values in the kernel."""
        return self.kernel**2 * self.in_channels // self.groups * self.filters


@dataclass(frozen=True, slots=True)
class Block:
    """One residual block: its convolutions in order, and its shortcut.

    stage: from 1 to 4. in_channels, filters: channels before and after the block.
    projection: None where the shortcut has no weights. Such a shortcut takes every `stride`-th
        pixel and appends `filters - in_channels` channels of zeros; with stride 1 and equal
        channels it is the identity.
    average_pool: whether the shortcut halves the image by averages of 2x2 pixels before its
        projection, whose stride is 1 then (ResNet-D, arXiv 1812.01187).
    """

    name: str
    stage: int
    in_channels: int
    filters: int
    stride: int
    convolutions: tuple[Convolution, ...]
    projection: Convolution | None
    has_shortcut: bool
    average_pool: bool = False

    def outputs(self, input_size: int) -> Iterator[tuple[Convolution, int]]:
        """Each convolution with the edge of its square output, for an input edge `input_size`."""
        if self.projection is not None:
            yield self.projection, strided(input_size, self.stride)
        size = input_size
        for convolution in self.convolutions:
            size = strided(size, convolution.stride)
            yield convolution, size

    def all_convolutions(self) -> tuple[Convolution, ...]:
        """The convolutions of the residual, then the projection if there is one."""
        return (
            self.convolutions if self.projection is None else (*self.convolutions, self.projection)
        )


def strided(size: int, stride: int) -> int:
    """Output edge of a layer that pads half its kernel on every side: ceil(size / stride)."""
    return -(-size // stride)
