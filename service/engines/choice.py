"""Which of several engines runs a network fastest on this machine: measured once, and kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, TypeAdapter

from model_builder.system.atomic_write import atomic_write
from model_builder.system.regular_file import read_regular_file
from service.engines.base import Engine

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 20
# An image alone, and one of a batch under load, count alike.
SIZES = (1, 4)
ROUNDS = 4
# No further round begins after this.
BUDGET_SECONDS = 1.0
# Other load on the machine makes measurements no more exact: then the preferred engine stays.
LEAST_GAIN = 1.03

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class _Kept:
    """The file's content. key: what was measured. seconds: of an image, by the engine's name."""

    key: dict[str, str]
    seconds: dict[str, Seconds]


_ADAPTER = TypeAdapter(_Kept)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The file of one checkpoint in one precision.

    key: everything that the latencies depend on; a file with another key is not used and is
    replaced. A file that can't be read or written is ignored.
    """

    path: Path
    key: dict[str, str]

    def read(self) -> dict[str, float] | None:
        """Seconds of an image, by the engine's name."""
        try:
            kept = _ADAPTER.validate_json(read_regular_file(self.path, MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.info("The engines' speeds in %s are not used: %s", self.path, error)
            return None
        return dict(kept.seconds) if kept.key == self.key and kept.seconds else None

    def write(self, seconds: Mapping[str, float]) -> None:
        text = _ADAPTER.dump_json(_Kept(self.key, dict(seconds)), indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self.path, text)
        except OSError as error:
            logger.info("The engines' speeds are not kept: %s", error)


def measure(engines: Mapping[str, Engine], edge: int) -> dict[str, float]:
    """Seconds of an image by each engine, in about a second for all of them.

    edge: height and width of an image. The engines take turns: a machine that slows down affects
    them alike.
    """
    batches = {size: np.zeros((size, edge, edge, 3), np.uint8) for size in SIZES}
    for engine in engines.values():
        for pixels in batches.values():
            engine.run(pixels)
    best = {name: dict.fromkeys(SIZES, float("inf")) for name in engines}
    started = time.perf_counter()
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            for size, pixels in batches.items():
                begun = time.perf_counter()
                engine.run(pixels)
                best[name][size] = min(best[name][size], time.perf_counter() - begun)
        if time.perf_counter() - started > BUDGET_SECONDS:
            break
    return {name: image_seconds(taken) for name, taken in best.items()}


def image_seconds(batch_seconds: Mapping[int, float]) -> float:
    """The mean over batch sizes of what an image takes."""
    return sum(taken / size for size, taken in batch_seconds.items()) / len(batch_seconds)


def fastest(seconds: Mapping[str, float]) -> str:
    """The first engine, which is the preferred one, unless another is clearly faster."""
    first = next(iter(seconds))
    best = min(seconds, key=lambda name: seconds[name])
    return best if seconds[first] > LEAST_GAIN * seconds[best] else first
