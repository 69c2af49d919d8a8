"""What an engine is, and which one serves an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from model_builder.artifact import Artifact, Precision

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
Device = Literal["auto", "cpu", "gpu"]


class Engine(Protocol):
    """Runs an inference network on one device."""

    @property
    def device(self) -> str:
        """Its name, as in "cpu:0"."""

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The sizes it is to be given, ascending."""

    def run(self, pixels: Pixels) -> Array:
        """uint8 [N, H, W, 3] to the last feature map, float32 [N, h, w, features]."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where to compute. `max_batch_size` of None leaves it to the device."""

    device: Device
    cpu_threads: int
    max_batch_size: int | None


def choose_precision(wanted: Precision | Literal["auto"], hardware: Hardware) -> Precision:
    """`wanted`, or for "auto" the fastest that loses nothing that matters on this hardware."""
    if wanted != "auto":
        return wanted
    from service.engines import tensorflow

    return tensorflow.fastest_precision(hardware)


def load_engines(artifact: Artifact, hardware: Hardware) -> tuple[Engine, ...]:
    """One engine a device, each with the network loaded and nothing run yet."""
    # Frameworks are heavy: only the one that serves this artifact is imported.
    from service.engines import tensorflow

    return tensorflow.load(artifact, hardware)


def batch_sizes_up_to(largest: int) -> tuple[int, ...]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24, ..., and `largest`: padding wastes a third at most."""
    sizes = {largest}
    size = 1
    while size < largest:
        sizes |= {size, size + size // 2}
        size *= 2
    return tuple(sorted(size for size in sizes if size <= largest))
