"""Warms the engines up, and selects the batch sizes by the latency measured meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from service.batching.batch_sizes import NEAR_BEST, NEAR_ENOUGH, BatchSizes
from service.system import full_load
from service.system.full_load import run_streams

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]

# Kept with what was selected: another version of these rules measures again.
RULES = "3"
ROUNDS = 3
# A larger batch makes each of its images wait for the others. No gain in throughput is worth more
# latency than this.
MAX_BATCH_SECONDS = 0.2
# Of an engine that takes any size: it gets short batches where several clients wait, and a start on
# a busy machine, which measures a multiple of what a batch takes, must not leave it small ones.
MAX_ANY_SIZE_BATCH_SECONDS = 0.5
# Cached sizes hold while the smallest batch takes between 1 / STILL_HOLDS and STILL_HOLDS times
# its cached latency.
STILL_HOLDS = 1.5
# The search ends when doubling the batch raises the throughput by less than this factor.
LEAST_GAIN = 1.02
# Where a latency is estimated from two sizes, the second takes up to about this long.
SECOND_SIZE_SECONDS = 0.12
# Each of the two so many times, more often where that is quick: other load disturbs single runs.
MIN_TURNS, MAX_TURNS = 2, 4
TURNS_SECONDS = 0.15
# By less than this factor a larger batch is no slower for each image: other load made it so.
# Threads that wait for one that has no CPU take CPU time, too.
DISTURBED = 1.5


class Runnable(full_load.Runnable, Protocol):
    """What is measured: one device."""

    @property
    def max_batch_size(self) -> int: ...

    @property
    def takes_any_size(self) -> bool: ...

    def divide(self) -> None: ...

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None: ...


def autotune(
    engines: Sequence[Runnable],
    input_shape: tuple[int, int, int],
    max_batch_size: int | None,
    known: BatchSizes | None = None,
) -> BatchSizes:
    """The batch sizes, each of them run on every engine that does not take any size at once.

    input_shape: height, width, channels. max_batch_size: the largest size; None selects
    one whose throughput is near the best, measured on the first engine: the smallest, or of an
    engine that takes any size the largest. known: the
    sizes of an earlier start; measured again where their latencies no longer hold. An engine that
    takes any size is divided before it is measured, and else left as it is.
    """
    first, *others = engines
    if first.takes_any_size:
        if max_batch_size is None and known is not None and _holds(known, first, input_shape):
            plan = known
        else:
            first.divide()
            plan = _estimated(first, input_shape, max_batch_size)
    elif max_batch_size is not None:
        sizes = powers_of_two_up_to(max_batch_size)
        for size in sizes:
            _seconds(first, size, input_shape)
        # Interleaved, the faster of two: other load on the machine slows single runs.
        turns = [[_seconds(first, size, input_shape) for size in sizes] for _ in range(2)]
        fastest = (min(taken) for taken in zip(*turns, strict=True))
        plan = BatchSizes(dict(zip(sizes, fastest, strict=True)))
    elif known is not None and _holds(known, first, input_shape):
        plan = known
    else:
        plan = _chosen(first, input_shape)
    for engine in others:
        for size in _sizes_to_run(engine, plan):
            _seconds(engine, size, input_shape)
    for engine in engines:
        engine.retain_sizes(plan.sizes)
    logger.debug("Seconds by batch size: %s", dict(plan.seconds))
    return plan


def powers_of_two_up_to(largest: int) -> tuple[int, ...]:
    """1, 2, 4, 8, ..., and `largest`."""
    return tuple(sorted({largest, *(2**power for power in range(largest.bit_length()))}))


def _holds(plan: BatchSizes, engine: Runnable, input_shape: tuple[int, int, int]) -> bool:
    """Runs what has to be run, then the smallest until a run takes about its cached latency."""
    if plan.largest > engine.max_batch_size:
        return False
    smallest, *others = _sizes_to_run(engine, plan)
    for size in others:
        _seconds(engine, size, input_shape)
    # Cached is the latency on a part of the device, of which one that isn't divided has all.
    parts = 1 if engine.divided else engine.concurrency
    # The first run may be slow; of an engine that has run already it is as good as the next.
    for _ in range(1 + ROUNDS):
        ratio = _seconds(engine, smallest, input_shape) / plan.seconds[smallest]
        if 1 / (STILL_HOLDS * parts) <= ratio <= STILL_HOLDS:
            return True
    logger.info("Batches take %.1f times their cached latency: measuring again", ratio)
    return False


def _sizes_to_run(engine: Runnable, plan: BatchSizes) -> tuple[int, ...]:
    """Those whose first run takes long: every one, or the first of all."""
    return plan.sizes[:1] if engine.takes_any_size else plan.sizes


def _estimated(
    engine: Runnable, input_shape: tuple[int, int, int], max_batch_size: int | None
) -> BatchSizes:
    """In a tenth of the time of `_chosen`: two sizes are run, and a line through them is drawn.

    An engine that takes any size computes the same for each image, and something for each batch.
    Other load on the machine makes a run take a multiple of its time, and less more of the CPU's:
    the second size counts as no slower, beside the first, than by its CPU time.
    """
    _seconds(engine, 1, input_shape)
    once = _seconds(engine, 1, input_shape)
    largest = max_batch_size or engine.max_batch_size
    sizes = powers_of_two_up_to(largest)
    if largest == 1:
        return BatchSizes({1: once})
    second = max(size for size in sizes if size <= max(2, SECOND_SIZE_SECONDS / once))
    turns: list[tuple[_Taken, _Taken]] = []
    while len(turns) < MIN_TURNS or (
        len(turns) < MAX_TURNS
        and sum(one.seconds + two.seconds for one, two in turns) < TURNS_SECONDS
    ):
        turns.append((_taken(engine, 1, input_shape), _taken(engine, second, input_shape)))
    single, several = (
        _Taken(
            min(turn[which].seconds for turn in turns),
            min(turn[which].cpu_seconds for turn in turns),
        )
        for which in range(2)
    )
    alone = min(once, single.seconds)
    together = several.seconds
    if single.cpu_seconds > 0:
        together = min(together, alone * several.cpu_seconds / single.cpu_seconds)
    if together < DISTURBED * second * alone:
        together = min(together, second * alone)
    each = max(0.0, together - alone) / (second - 1)
    seconds = {size: alone + each * (size - 1) for size in sizes}
    if max_batch_size is not None:
        return BatchSizes(seconds)
    short = {size: taken for size, taken in seconds.items() if taken <= MAX_ANY_SIZE_BATCH_SECONDS}
    plan = BatchSizes(short or {1: alone})
    # Fewer batches cost the service less CPU time between them, and a size costs no memory here.
    return plan.up_to(max(plan.near_best(NEAR_ENOUGH)))


def _chosen(engine: Runnable, input_shape: tuple[int, int, int]) -> BatchSizes:
    _seconds(engine, 1, input_shape)
    seconds = {1: _seconds(engine, 1, input_shape)}
    size, gain = 1, LEAST_GAIN
    while (
        gain >= LEAST_GAIN
        and 2 * size <= engine.max_batch_size
        and 2 * seconds[size] <= MAX_BATCH_SECONDS
    ):
        _seconds(engine, 2 * size, input_shape)
        # Interleaved: a machine that slows down affects both sizes.
        turns = [
            (_seconds(engine, size, input_shape), _seconds(engine, 2 * size, input_shape))
            for _ in range(ROUNDS)
        ]
        once, doubled = (min(taken) for taken in zip(*turns, strict=True))
        seconds[size] = min(seconds[size], once)
        seconds[2 * size] = doubled
        size, gain = 2 * size, 2 * once / doubled
    plan = BatchSizes(seconds)
    return plan.up_to(min(plan.near_best(NEAR_BEST)))


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a batch took while one ran on each stream, by the clock and of all CPUs."""

    seconds: float
    cpu_seconds: float


def _seconds(engine: Runnable, size: int, input_shape: tuple[int, int, int]) -> float:
    """Seconds of one run. The first run of a size takes longer than later ones."""
    return _taken(engine, size, input_shape).seconds


def _taken(engine: Runnable, size: int, input_shape: tuple[int, int, int]) -> _Taken:
    pixels = np.zeros((size, *input_shape), np.uint8)
    started, cpu_started = time.perf_counter(), time.process_time()
    batches = run_streams(engine, pixels)
    taken, cpu_taken = time.perf_counter() - started, time.process_time() - cpu_started
    return _Taken(taken, cpu_taken / batches)
