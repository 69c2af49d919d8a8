"""Runs of an engine as under load: a batch on each of its streams at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from service.engines.base import Pixels, Run


class Runnable(Protocol):
    """What of an engine that takes."""

    @property
    def concurrency(self) -> int: ...

    @property
    def alone(self) -> Run | None: ...

    def run(self, pixels: Pixels) -> object: ...


def run_streams(engine: Runnable, pixels: Pixels) -> int:
    """Returns how many batches ran: one, where one has the whole device."""
    if engine.alone is None:
        engine.run(pixels)
        return 1
    with ThreadPoolExecutor(engine.concurrency) as threads:
        for _ in threads.map(engine.run, [pixels] * engine.concurrency):
            pass
    return engine.concurrency


def run_alone(engine: Runnable, pixels: Pixels) -> object:
    """With every thread, as where nothing else waits."""
    return (engine.alone or engine.run)(pixels)
