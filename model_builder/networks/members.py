"""Members of the family beyond the five of the paper: a row of what each changes.

Sources: wide ResNets, Zagoruyko and Komodakis 2016 (arXiv 1605.07146); ResNeXt, Xie et al. 2016
(arXiv 1611.05431); ResNet-C and -D, He et al. 2018 (arXiv 1812.01187), figure 2. The names, and
ResNet-S and -T, are torchvision's and timm's.
"""

from __future__ import annotations

from dataclasses import dataclass

from model_builder.networks.stem import Stem

PLAIN_WIDTH = STEM_WIDTH = 64


@dataclass(frozen=True, slots=True)
class Member:
    """What a member changes of a ResNet of the paper.

    base: its name in RESNETS. stem_widths: the filters of a deep stem's first two convolutions.
    stem_width: of the stem's last.
    average_pool_shortcut: whether shortcuts halve the image by an average pool before the
    projection. cardinality, width_per_group: groups of a bottleneck's 3x3 convolution, and the
    filters of each in the first stage.
    """

    base: str
    stem: Stem = "7x7"
    stem_widths: tuple[int, ...] = ()
    average_pool_shortcut: bool = False
    cardinality: int = 1
    width_per_group: int = PLAIN_WIDTH
    stem_width: int = STEM_WIDTH


def _deep(base: str) -> dict[str, Member]:
    """ResNet-C, -D, -S and -T of a base."""
    return {
        f"{base}c": Member(base, "deep", (32, 32)),
        f"{base}d": Member(base, "deep", (32, 32), average_pool_shortcut=True),
        f"{base}s": Member(base, "deep", (64, 64), stem_width=128),
        f"{base}t": Member(base, "deep", (24, 32), average_pool_shortcut=True),
    }


MEMBERS: dict[str, Member] = {
    "wide_resnet50_2": Member("resnet50", width_per_group=128),
    "wide_resnet101_2": Member("resnet101", width_per_group=128),
    "resnext50_32x4d": Member("resnet50", cardinality=32, width_per_group=4),
    "resnext101_32x4d": Member("resnet101", cardinality=32, width_per_group=4),
    "resnext101_32x8d": Member("resnet101", cardinality=32, width_per_group=8),
    "resnext101_64x4d": Member("resnet101", cardinality=64, width_per_group=4),
    "resnext50d_32x4d": Member("resnet50", "deep", (32, 32), True, 32, 4),
    **_deep("resnet18"),
    **_deep("resnet34"),
    **_deep("resnet50"),
    **_deep("resnet101"),
    **_deep("resnet152"),
}


def check_width(block: str, cardinality: int, width_per_group: int) -> None:
    """Raises ValueError unless a block of that kind can have them."""
    received = f"Received: {cardinality}, {width_per_group}"
    if min(cardinality, width_per_group) < 1:
        raise ValueError(f"cardinality and width_per_group must be at least 1. {received}")
    if block == "basic" and (cardinality, width_per_group) != (1, PLAIN_WIDTH):
        raise ValueError(
            f"cardinality must be 1 and width_per_group {PLAIN_WIDTH} in basic blocks. {received}"
        )


def member_name(member: Member) -> str:
    """The name in MEMBERS, or of another combination one that says what it changes."""
    if member == Member(member.base):
        return member.base
    for name, known in MEMBERS.items():
        if known == member:
            return name
    groups = f"{member.cardinality}x{member.width_per_group}d"
    widths = "x".join(map(str, (*member.stem_widths, member.stem_width)))
    stem = f"_stem{widths}" if member.stem == "deep" else ""
    pool = "_pooled" if member.average_pool_shortcut else ""
    return f"{member.base}_{groups}{stem}{pool}"
