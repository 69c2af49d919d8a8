"""The interface of engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
Device = Literal["auto", "cpu", "gpu"]
Run = Callable[[Pixels], Array]


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

    @property
    def alone(self) -> Run | None:
        """As `run`, with all of the device's threads for one batch while no other runs.

        None where `run` has them anyway. Otherwise the batches of `run` divide them.
        """

    @property
    def divided(self) -> bool:
        """Whether `run` divides the device yet; True of an engine that never will.

        Until then one batch of `run` at a time has the whole device, and the others wait for it.
        """

    def divide(self) -> None:
        """Prepares what `run` divides the device with; nothing where that is done.

        Takes as long as a load, beside batches that run. Results stay the same bits. Raises
        BuilderError; then the engine stays as it was.
        """

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:
        """Frees what other batch sizes needed; from now on only these are run."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """The device to use, and the threads for a CPU.

    cache: the folder where engines keep what they prepared for this device; None: nowhere.
    """

    device: Device
    cpu_threads: int
    cache: Path | None = None
