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
from service.engines.base import Engine, Pixels
from service.system.full_load import run_as_served

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
class Speed:
    """What an image takes: seconds, and seconds of all CPUs together."""

    seconds: Seconds
    cpu_seconds: Seconds


@dataclass(frozen=True, slots=True)
class _Kept:
    """The file's content. key: what was measured. speeds: by the engine's name."""

    key: dict[str, str]
    speeds: dict[str, Speed]


_ADAPTER = TypeAdapter(_Kept)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The file of one checkpoint in one precision.

    key: everything that the latencies depend on; a file with another key is not used and is
    replaced. A file that can't be read or written is ignored.
    """

    path: Path
    key: dict[str, str]

    def read(self) -> dict[str, Speed] | None:
        """By the engine's name."""
        try:
            kept = _ADAPTER.validate_json(read_regular_file(self.path, MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.info("The engines' speeds in %s are not used: %s", self.path, error)
            return None
        return kept.speeds if kept.key == self.key and kept.speeds else None

    def write(self, speeds: Mapping[str, Speed]) -> None:
        text = _ADAPTER.dump_json(_Kept(self.key, dict(speeds)), indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self.path, text)
        except OSError as error:
            logger.info("The engines' speeds are not kept: %s", error)


def measure(engines: Mapping[str, Engine], edge: int) -> dict[str, Speed]:
    """The speed of each engine by its name, in about a second for all of them.

    edge: height and width of an image. The engines take turns: a machine that slows down affects
    them alike.
    """
    batches = {size: np.zeros((size, edge, edge, 3), np.uint8) for size in SIZES}
    for engine in engines.values():
        for pixels in batches.values():
            _timed(engine, pixels)
    runs: dict[str, dict[int, list[tuple[float, float]]]] = {
        name: {size: [] for size in SIZES} for name in engines
    }
    started = time.perf_counter()
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            for size, pixels in batches.items():
                runs[name][size].append(_timed(engine, pixels))
        if time.perf_counter() - started > BUDGET_SECONDS:
            break
    return {name: _speed(taken) for name, taken in runs.items()}


def _timed(engine: Engine, pixels: Pixels) -> tuple[float, float]:
    """Seconds of a batch, and of the CPUs: of one image alone, of more on every stream at once."""
    begun, cpu_begun = time.perf_counter(), time.process_time()
    batches = run_as_served(engine, pixels)
    return (time.perf_counter() - begun) / batches, (time.process_time() - cpu_begun) / batches


def _speed(runs: Mapping[int, list[tuple[float, float]]]) -> Speed:
    """The mean over batch sizes of what an image takes in the least disturbed run."""
    seconds = (min(wall for wall, _ in taken) / size for size, taken in runs.items())
    cpu_seconds = (min(cpu for _, cpu in taken) / size for size, taken in runs.items())
    return Speed(sum(seconds) / len(runs), sum(cpu_seconds) / len(runs))


def fastest(speeds: Mapping[str, Speed]) -> str:
    """The first engine, which is the preferred one, unless another is clearly faster.

    It must not take more of the CPUs either: on a machine that others keep busy, seconds alone
    tell who was disturbed.
    """
    preferred = next(iter(speeds.values()))
    clearly = {
        name: speed.seconds
        for name, speed in speeds.items()
        if speed is preferred
        or (
            LEAST_GAIN * speed.seconds < preferred.seconds
            and speed.cpu_seconds <= preferred.cpu_seconds
        )
    }
    return min(clearly, key=lambda name: clearly[name])
