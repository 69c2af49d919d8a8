"""What an engine is, and which one serves an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from model_builder.artifact.manifest import Artifact, Precision

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
Device = Literal["auto", "cpu", "gpu"]


class Engine(Protocol):
    """Runs an inference network on one device."""

    @property
    def device(self) -> str:
        """Its name, as in "cpu:0"."""

    @property
    def max_batch_size(self) -> int:
        """Beyond this no gain is to be looked for."""

    @property
    def concurrency(self) -> int:
        """Batches to be under way at the same time, each from a thread of its own."""

    def run(self, pixels: Pixels) -> Array:
        """uint8 [N, H, W, 3] to the last feature map, float32 [N, h, w, features].

        Any N; the first run of each is slow. By `concurrency` threads at a time.
        """

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:
        """Frees what only other sizes needed: these are all that will be run from now on."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where to compute."""

    device: Device
    cpu_threads: int


def choose_precision(wanted: Precision | Literal["auto"], hardware: Hardware) -> Precision:
    """`wanted`, or for "auto" the fastest that loses nothing that matters on this hardware."""
    if wanted != "auto":
        return wanted
    from service.engines import tensorflow

    return tensorflow.fastest_precision(hardware)


def load_engines(artifact: Artifact, hardware: Hardware) -> tuple[Engine, ...]:
    """One engine a device, each with the network loaded and nothing run yet.

    Raises BuilderError where the hardware is not what the artifact needs.
    """
    # Frameworks are heavy: only the one that serves this artifact is imported.
    if artifact.manifest.engine == "litert":
        from service.engines import litert

        return litert.load(artifact, hardware)
    from service.engines import tensorflow

    return tensorflow.load(artifact, hardware)
