"""The residual blocks of a configuration, as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from model_builder.networks.blocks import Block, Convolution
from model_builder.networks.members import PLAIN_WIDTH

if TYPE_CHECKING:
    from model_builder.networks.config import ResNetConfig

STAGE_WIDTHS = (64, 128, 256, 512)
# Filters of a block, in units of its stage's width.
EXPANSION = {"basic": 1, "bottleneck": 4}


def residual_blocks(config: ResNetConfig) -> Iterator[Block]:
    """Every block, from the image to the classifier.

    Layers are named after the state dict of torchvision's ResNet, with underscores for dots.
    """
    channels = config.stem_width
    for stage, (width, count) in enumerate(zip(STAGE_WIDTHS, config.layers, strict=True), start=1):
        for index in range(count):
            stride = 2 if stage > 1 and index == 0 else 1
            block = _block(config, f"layer{stage}_{index}", stage, channels, width, stride)
            channels = block.filters
            yield block


def _block(
    config: ResNetConfig, name: str, stage: int, channels: int, width: int, stride: int
) -> Block:
    filters = width * EXPANSION[config.block]
    changes = stride > 1 or channels != filters
    projects = config.shortcut == "C" or (config.shortcut == "B" and changes)
    average_pool = projects and stride > 1 and config.average_pool_shortcut
    projection = None
    if projects:
        names = f"{name}_downsample_0", f"{name}_downsample_1"
        projection = Convolution(*names, channels, filters, 1, 1 if average_pool else stride)
    return Block(
        name,
        stage,
        channels,
        filters,
        stride,
        _convolutions(config, name, channels, width, stride),
        projection,
        config.shortcut != "none",
        average_pool,
    )


def _convolutions(
    config: ResNetConfig, name: str, channels: int, width: int, stride: int
) -> tuple[Convolution, ...]:
    """Of the residual, in order."""

    def convolution(
        index: int, inputs: int, filters: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> Convolution:
        names = f"{name}_conv{index}", f"{name}_bn{index}"
        return Convolution(*names, inputs, filters, kernel, stride, groups)

    if config.block == "basic":
        return convolution(1, channels, width, 3, stride), convolution(2, width, width, 3)
    inner = width * config.width_per_group // PLAIN_WIDTH * config.cardinality
    first, second = (stride, 1) if config.stride_in_1x1 else (1, stride)
    return (
        convolution(1, channels, inner, 1, first),
        convolution(2, inner, inner, 3, second, config.cardinality),
        convolution(3, inner, width * EXPANSION[config.block], 1),
    )
