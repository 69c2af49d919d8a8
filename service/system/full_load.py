"""Runs of a device as under load: a batch on each of the streams that divide it, at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class Runnable(Protocol):
    """What of an engine that takes; its members are `service.engines.base.Engine`'s."""

    @property
    def concurrency(self) -> int: ...

    @property
    def alone(self) -> Callable[[Pixels], object] | None: ...

    @property
    def divided(self) -> bool: ...

    def run(self, pixels: Pixels) -> object: ...


def run_streams(engine: Runnable, pixels: Pixels) -> int:
    """Returns how many batches ran: one, where one has the whole device."""
    if engine.alone is None or not engine.divided:
        engine.run(pixels)
        return 1
    with ThreadPoolExecutor(engine.concurrency) as threads:
        for _ in threads.map(engine.run, [pixels] * engine.concurrency):
            pass
    return engine.concurrency


def run_alone(engine: Runnable, pixels: Pixels) -> object:
    """With all of the device, as where nothing else waits."""
    return (engine.alone or engine.run)(pixels)


def run_as_served(engine: Runnable, pixels: Pixels) -> int:
    """One image alone; more on every stream. Returns how many batches ran."""
    if len(pixels) > 1:
        return run_streams(engine, pixels)
    run_alone(engine, pixels)
    return 1
