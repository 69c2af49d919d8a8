"""What each engine and precision gives on this machine, measured one after the other.

Each in a process of its own: frameworks share no memory and no threads, and leave nothing behind.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from model_builder.artifact.manifest import Artifact, Precision
from model_builder.artifact.store_format import read_artifact
from model_builder.errors import BuilderError
from model_builder.system.native_stderr import redirect_native_stderr
from service.batching.autotune import powers_of_two_up_to
from service.engines.base import Engine, Hardware
from service.engines.registry import ENGINES, EngineSpec, load_divided
from service.inference.outputs import logits
from service.system.full_load import run_as_served
from service.system.memory import resident_bytes, trim_memory

Pixels = npt.NDArray[np.uint8]

# Of each batch size: so many runs at least, and for so long.
RUNS = 3
SIZE_SECONDS = 0.5
# No larger batch is run where one takes this long.
MAX_BATCH_SECONDS = 1.0
# For one engine, its loading included.
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One engine in one precision.

    images_per_second: for batches of 1, and for the best batch size, which is `best_batch`.
    cpu_ms: milliseconds of all CPUs for an image of the best batch. memory_mb: of a process with
    the model and nothing else, every batch size run. classes: `Head.answer` of each image that was
    given, for `agreement_percent`.
    """

    engine: str
    precision: Precision
    batch_1_images_per_second: float
    best_batch: int
    best_images_per_second: float
    cpu_ms: float
    memory_mb: float
    classes: tuple[tuple[int, ...], ...]

    def agreement_percent(self, reference: EngineRow | None) -> float | None:
        """How many of the images get the answer that the reference gives; None without any."""
        if reference is None or not self.classes:
            return None
        same = [
            mine == theirs for mine, theirs in zip(self.classes, reference.classes, strict=True)
        ]
        return round(100 * sum(same) / len(same), 1)


def measure_artifact(
    artifact: Artifact, hardware: Hardware, images: Pixels, engines: Sequence[EngineSpec] = ENGINES
) -> EngineRow:
    """In a new process. images: uint8 [N, S, S, 3], to compare classes on; N may be 0.

    Raises BuilderError where the artifact can't be run here.
    """
    # Not forked: a fork has this process's locks without the threads that release them.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    arguments = (artifact.folder, hardware, images, tuple(engines), sender)
    process = context.Process(target=_send_row, args=arguments, daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(TIMEOUT_SECONDS):
            raise BuilderError(f"{artifact.folder.name}: no figures after {TIMEOUT_SECONDS:g} s.")
        row = receiver.recv()
    except EOFError:
        process.join(TIMEOUT_SECONDS)
        raise BuilderError(
            f"The process that measured {artifact.folder.name} ended with status "
            f"{process.exitcode}. -9 is what a lack of memory looks like."
        ) from None
    finally:
        process.terminate()
        process.join()
        receiver.close()
    if isinstance(row, BuilderError):
        raise row
    found: EngineRow = row
    return found


def _send_row(
    folder: Path,
    hardware: Hardware,
    images: Pixels,
    engines: Sequence[EngineSpec],
    sender: Connection,
) -> None:
    """The process."""
    with redirect_native_stderr():
        try:
            artifact = read_artifact(folder)
            engine, *_ = load_divided(artifact, hardware, engines)
            sender.send(measure_engine(artifact, engine, images))
        except BuilderError as error:
            sender.send(error)
        except Exception as error:
            sender.send(BuilderError(f"{folder.name}: {type(error).__name__}: {error}"))


def measure_engine(
    artifact: Artifact,
    engine: Engine,
    images: Pixels,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> EngineRow:
    """In this process, whose whole memory is stated. images: as `measure_artifact`'s."""
    edge = artifact.manifest.preprocessing.crop_size
    seconds: dict[int, float] = {}
    cpu_seconds: dict[int, float] = {}
    for size in powers_of_two_up_to(engine.max_batch_size):
        pixels = np.zeros((size, edge, edge, 3), np.uint8)
        batches = run_as_served(engine, pixels)
        taken: list[float] = []
        cpu_begun = cpu_clock()
        while len(taken) < RUNS or sum(taken) < SIZE_SECONDS:
            begun = clock()
            run_as_served(engine, pixels)
            taken.append((clock() - begun) / batches)
        seconds[size] = median(taken)
        cpu_seconds[size] = (cpu_clock() - cpu_begun) / (batches * len(taken))
        if seconds[size] > MAX_BATCH_SECONDS:
            break
    trim_memory()
    memory = resident_bytes()
    best = max(seconds, key=lambda size: size / seconds[size])
    # One by one: every engine takes a batch of one.
    found = [logits(engine.run(image[None]), artifact.head) for image in images]
    return EngineRow(
        engine=artifact.manifest.engine,
        precision=artifact.manifest.precision,
        batch_1_images_per_second=round(1 / seconds[1], 1),
        best_batch=best,
        best_images_per_second=round(best / seconds[best], 1),
        cpu_ms=round(1000 * cpu_seconds[best] / best, 1),
        memory_mb=round(memory / 1e6),
        classes=tuple(artifact.head.answer(one[0]) for one in found),
    )
