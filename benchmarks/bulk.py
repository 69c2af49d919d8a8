"""python -m benchmarks.bulk PHOTOS: `resnet score` against the engine alone, decoding included.

By turns in one process: the network alone, on random pixels in the batch that is the fastest of
those below, one on each stream at once; and a job that scores the photos, repeated, into
Parquet. On an idle machine only.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Annotated

import numpy as np
import psutil
import typer

from model_builder.artifact.manifest import Precision
from service.engines.base import Engine, Hardware
from service.engines.registry import load_divided
from service.scoring.identity import job_record
from service.scoring.job import run
from service.scoring.local import score_here
from service.scoring.scorer import Scorer
from service.scoring.sinks.open import open_sink
from service.scoring.sources.open import Reading, open_source
from service.settings import Settings
from service.system.cpu import cpu_limit
from service.system.full_load import run_as_served

BATCHES = (4, 8)


@dataclass(frozen=True, slots=True)
class Taken:
    """cpu_ms: of an image, in this process. decoding_ms: in those that decode."""

    per_second: float
    cpu_ms: float
    decoding_ms: float


class Clock:
    def __init__(self) -> None:
        self._started, self._cpu = time.perf_counter(), _cpu_seconds()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def taken(self, images: int) -> Taken:
        seconds = self.seconds
        own, decoding = (
            1e3 * (after - before) / images
            for after, before in zip(_cpu_seconds(), self._cpu, strict=True)
        )
        return Taken(images / seconds, own, decoding)


def _cpu_seconds() -> tuple[float, float]:
    def of(process: psutil.Process) -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    own = psutil.Process()
    return of(own), sum(of(child) for child in own.children(recursive=True))


def engine_alone(engine: Engine, pixels: int, seconds: float) -> Taken:
    """In the fastest batch, each of which has its part of the time."""
    found = []
    for size in BATCHES:
        batch = np.random.default_rng(size).integers(0, 255, (size, pixels, pixels, 3), np.uint8)
        run_as_served(engine, batch)
        clock, images = Clock(), 0
        while clock.seconds < seconds / len(BATCHES):
            images += size * run_as_served(engine, batch)
        found.append(clock.taken(images))
    return max(found, key=lambda one: one.per_second)


def job(scorer: Scorer, paths: list[str], images: int) -> Taken:
    """From the first image that is read to the file that is published."""
    described = scorer.describe()
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "photos.txt"
        listed.write_text("".join(f"{paths[index % len(paths)]}\n" for index in range(images)))
        source = open_source(str(listed), Reading(scorer.settings.limits.max_body_bytes))
        record = job_record(described.record, source="photos", sample=None, shard=(1, 1))
        sink, stop = open_sink(f"{folder}/out.parquet", described.schema, record), Event()
        try:
            clock = Clock()
            done = run(source.items(), sink, lambda items: score_here(scorer, items, stop), stop)
            taken = clock.taken(images)
        finally:
            sink.close()
    if done.failed or done.images != images:
        raise SystemExit(f"{done.failed} of {done.images} photos can't be scored.")
    return taken


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    precision: Precision = "int8",
    rounds: int = 4,
    seconds: Annotated[float, typer.Option(help="Of each sample.")] = 4.0,
) -> None:
    """Print both rates and the CPU time of an image, the medians of the rounds."""
    paths = sorted(str(path.resolve()) for path in photos.iterdir() if path.is_file())
    scorer = Scorer(Settings.of(precision=precision))
    model = scorer.model
    pixels = model.artifact.manifest.preprocessing.crop_size
    (engine,) = load_divided(model.artifact, Hardware("cpu", cpu_limit()))
    job(scorer, paths, 64)
    alone, jobs = [], []
    for _ in range(rounds):
        alone.append(engine_alone(engine, pixels, seconds))
        jobs.append(job(scorer, paths, round(alone[-1].per_second * seconds)))
    scorer.close()
    rate, cpu = (_median(alone, name) for name in ("per_second", "cpu_ms"))
    job_rate, job_cpu, decoding = (
        _median(jobs, name) for name in ("per_second", "cpu_ms", "decoding_ms")
    )
    typer.echo(
        f"{precision}: engine alone {rate:.1f} a second, {cpu:.1f} ms of a CPU an image\n"
        f"job {job_rate:.1f} a second, {job_cpu:.1f} ms and {decoding:.2f} ms of decoding\n"
        f"ratio {job_rate / rate:.3f}; by CPU time, at best {cpu / (cpu + decoding):.3f}"
    )


def _median(taken: list[Taken], name: str) -> float:
    return statistics.median(float(getattr(one, name)) for one in taken)


if __name__ == "__main__":
    typer.run(main)
