"""A second int8 engine: this file, its exporter and a row are all that it needs.

Every feature is the mean of the image.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model_builder.artifact.manifest import Artifact
from service.engines.base import Hardware
from service.engines.registry import EngineSpec

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

SPEC = EngineSpec(
    name="toy",
    module=__name__,
    exporter="tests.service.engines.toy_exporter",
    precisions=("int8",),
    devices=("cpu",),
    package="numpy",
)


class ToyEngine:
    device = "cpu:0"
    max_batch_size = 8
    takes_any_size = False
    concurrency = 1
    alone = None
    divided = True

    def __init__(self, features: int) -> None:
        self._features = features

    def run(self, pixels: Pixels) -> Array:
        means = pixels.mean(axis=(1, 2, 3), dtype=np.float32)
        return np.broadcast_to(means[:, None, None, None], (len(pixels), 1, 1, self._features))

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:
        pass

    def divide(self) -> None:
        pass


def load(artifact: Artifact, hardware: Hardware) -> tuple[ToyEngine, ...]:  # noqa: ARG001
    width = int((artifact.network / "toy.txt").read_text())
    return (ToyEngine(width),)
