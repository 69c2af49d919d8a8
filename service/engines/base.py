"""The interface of engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
Device = Literal["auto", "cpu", "gpu"]


class Engine(Protocol):
    """Runs an inference network on one device."""

    @property
    def device(self) -> str:
        """The device's name, such as "cpu:0"."""

    @property
    def max_batch_size(self) -> int:
        """The largest batch worth measuring."""

    @property
    def takes_any_size(self) -> bool:
        """Whether only the very first run is slow, and not the first of each batch size."""

    @property
    def concurrency(self) -> int:
        """The number of batches that it runs at the same time, each called from its own thread."""

    def run(self, pixels: Pixels) -> Array:
        """Pixels uint8 [N, H, W, 3] to the last feature map, float32 [N, h, w, features].

        Takes any N up to `max_batch_size`; of its first run `takes_any_size` tells. Called by up to
        `concurrency` threads at the same time.
        """

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:
        """Frees what other batch sizes needed; from now on only these are run."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """The device to use, and the threads for a CPU.

    cpu_streams: batches that a CPU is to run at the same time, each with its share of the threads.
    """

    device: Device
    cpu_threads: int
    cpu_streams: int = 1
