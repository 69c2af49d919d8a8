"""The engines alone: each in its own process, which is idle between measurements."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from benchmarks.variants import Variant
from model_builder.artifact.manifest import Artifact
from service.engines.base import Engine
from service.engines.registry import engine_called, load_divided
from service.imaging.decoder import decode
from service.inference.artifacts import make_artifact_cache, make_hardware
from service.settings import Settings
from service.system.full_load import run_as_served

Pixels = npt.NDArray[np.uint8]

# The first start of an engine fetches the weights and builds the artifact.
LOAD_TIMEOUT_SECONDS = 3600.0
ANSWER_TIMEOUT_SECONDS = 300.0
LARGEST_BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Speed:
    """cpu_ms: CPU time of all threads for one image."""

    images_per_second: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """folder: of the artifact. macs: of one forward pass, each a multiplication and an addition."""

    folder: Path
    macs: int


class EngineProcess:
    """One engine in its own process.

    jpegs: its input, repeated where a batch is larger than their number.
    """

    def __init__(self, settings: Settings, variant: Variant, jpegs: Sequence[bytes]) -> None:
        self.variant = variant
        self._settings = settings
        self._jpegs = tuple(jpegs)
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def load(self, batch_sizes: Sequence[int]) -> Loaded:
        """Obtains the artifact, loads it and runs every size once. Raises BuilderError."""
        asked = self._pool.submit(
            _warm_up, self._settings, self.variant, self._jpegs, tuple(batch_sizes)
        )
        return asked.result(LOAD_TIMEOUT_SECONDS)

    def speed(self, batch_size: int, at_least_seconds: float) -> Speed:
        """batch_size: one that was warmed up, at most LARGEST_BATCH_SIZE."""
        asked = self._pool.submit(
            _speed, self._settings, self.variant, self._jpegs, batch_size, at_least_seconds
        )
        return asked.result(ANSWER_TIMEOUT_SECONDS)


@cache
def _loaded(settings: Settings, variant: Variant) -> tuple[Artifact, Engine]:
    given = settings.model.checkpoint_file
    target = engine_called(variant.engine).target(variant.precision)
    artifact = make_artifact_cache(settings).obtain(
        settings.model.default, target, checkpoint_file=given
    )
    return artifact, load_divided(artifact, make_hardware(settings))[0]


@cache
def _pixels(settings: Settings, variant: Variant, jpegs: tuple[bytes, ...]) -> Pixels:
    artifact, _ = _loaded(settings, variant)
    recipe = artifact.manifest.preprocessing
    decoded = [decode(jpeg, recipe, max_pixels=settings.limits.max_image_pixels) for jpeg in jpegs]
    return np.resize(np.stack(decoded), (LARGEST_BATCH_SIZE, *decoded[0].shape))


def _warm_up(
    settings: Settings, variant: Variant, jpegs: tuple[bytes, ...], batch_sizes: tuple[int, ...]
) -> Loaded:
    artifact, engine = _loaded(settings, variant)
    for size in batch_sizes:
        pixels = _pixels(settings, variant, jpegs)[:size]
        run_as_served(engine, pixels)
    manifest = artifact.manifest
    macs = manifest.architecture.macs(manifest.preprocessing.crop_size)
    return Loaded(artifact.folder, macs)


def _speed(
    settings: Settings,
    variant: Variant,
    jpegs: tuple[bytes, ...],
    batch_size: int,
    at_least_seconds: float,
) -> Speed:
    _, engine = _loaded(settings, variant)
    pixels = _pixels(settings, variant, jpegs)[:batch_size]
    runs, cpu_started, started = 0, time.process_time(), time.perf_counter()
    while (elapsed := time.perf_counter() - started) < at_least_seconds or runs == 0:
        runs += run_as_served(engine, pixels)
    images = runs * batch_size
    return Speed(images / elapsed, 1e3 * (time.process_time() - cpu_started) / images)
