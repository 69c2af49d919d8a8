"""The layers on the image as data: one 7x7 or 3x3 convolution, or three of 3x3."""

from __future__ import annotations

from typing import Literal

from model_builder.networks.blocks import Convolution

# "7x7": the paper's. "3x3": one with stride 1 and no max pool, for images of 32 pixels (section
# 4.2). "deep": three of 3x3, the first with stride 2 (ResNet-C and -D, arXiv 1812.01187).
Stem = Literal["7x7", "3x3", "deep"]
PLAIN_FILTERS = 64
STEMS: tuple[Stem, ...] = ("7x7", "3x3", "deep")


def check_stem(stem: Stem, inner_widths: tuple[int, ...], filters: int) -> None:
    """Raises ValueError unless they belong together."""
    if stem not in STEMS or len(inner_widths) != 2 * (stem == "deep"):
        raise ValueError(
            "stem must be 7x7 or 3x3 without stem_widths, or deep with two. "
            f"Received: {stem!r}, {inner_widths!r}"
        )
    if min(inner_widths, default=1) < 1:
        raise ValueError(f"stem_widths must be at least 1. Received: {inner_widths!r}")
    if filters < 1 or (stem != "deep" and filters != PLAIN_FILTERS):
        raise ValueError(
            f"stem_width must be {PLAIN_FILTERS}, or 1 and more in a deep stem. Received: {filters}"
        )


def stem_convolutions(
    stem: Stem, input_channels: int, inner_widths: tuple[int, ...], filters: int
) -> tuple[Convolution, ...]:
    """In order; a ReLU follows each. The names are timm's: a deep stem is a list called conv1.

    inner_widths: the filters of a deep stem's first two convolutions. filters: of the last.
    """
    if stem == "7x7":
        return (Convolution("conv1", "bn1", input_channels, filters, kernel=7, stride=2),)
    if stem == "3x3":
        return (Convolution("conv1", "bn1", input_channels, filters, kernel=3, stride=1),)
    first, second = inner_widths
    return (
        Convolution("conv1_0", "conv1_1", input_channels, first, kernel=3, stride=2),
        Convolution("conv1_3", "conv1_4", first, second, kernel=3, stride=1),
        Convolution("conv1_6", "bn1", second, filters, kernel=3, stride=1),
    )
