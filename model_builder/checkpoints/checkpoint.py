"""A row of the catalog: one set of weights, and what is needed to build and serve it."""

from __future__ import annotations

from dataclasses import dataclass

from model_builder.artifact.preprocessing import Preprocessing
from model_builder.checkpoints.download.sources.source import Source
from model_builder.networks.config import ResNetConfig


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One set of published or imported weights.

    sources: tried in this order; none for an imported checkpoint.
    top1_percent, top5_percent: as the publisher states them, on ImageNet's validation set; None
        where it states none.
    """

    name: str
    architecture: ResNetConfig
    preprocessing: Preprocessing
    sources: tuple[Source, ...]
    licence: str
    paper: str
    top1_percent: float | None
    top5_percent: float | None

    @property
    def family(self) -> str:
        """The network's name: "resnet50" of "resnet50.keras_in1k"."""
        return self.architecture.name

    @property
    def depth(self) -> int:
        """50 for "resnet50"."""
        return self.architecture.depth
