"""Runs the engines until they are warm, and chooses the batch sizes from how long that took."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np

from service.batching.batch_sizes import NEAR_BEST, BatchSizes
from service.engines.base import Engine

logger = logging.getLogger(__name__)

ROUNDS = 3
# A larger batch makes each of its images wait for the others: only a gain is worth that, and
# none is worth more than this.
MAX_BATCH_SECONDS = 0.2
# A plan of an earlier start holds while a batch takes no more than so many times, and no less than
# one so-manyth of, what it says.
STILL_HOLDS = 1.5
# Doubling a batch that gained no more than this will not gain by being doubled again.
LEAST_GAIN = 1.02


def autotune(
    engines: Sequence[Engine],
    input_shape: tuple[int, int, int],
    max_batch_size: int | None,
    known: BatchSizes | None = None,
) -> BatchSizes:
    """Runs every size of the plan on every engine.

    input_shape: height, width, channels. max_batch_size: the largest size to be used; where it is
    None the smallest size that comes near the best rate, measured on the first engine. known: what
    came of that at an earlier start; measured anew where it does not hold.
    """
    first, *others = engines
    if max_batch_size is not None:
        sizes = powers_of_two_up_to(max_batch_size)
        for size in sizes:
            _seconds(first, size, input_shape)
        # In turns, and the faster of two: other work of the machine makes any of them slow.
        turns = [[_seconds(first, size, input_shape) for size in sizes] for _ in range(2)]
        fastest = (min(taken) for taken in zip(*turns, strict=True))
        plan = BatchSizes(dict(zip(sizes, fastest, strict=True)))
    elif known is not None and _holds(known, first, input_shape):
        plan = known
    else:
        plan = _chosen(first, input_shape)
    for engine in others:
        for size in plan.sizes:
            _seconds(engine, size, input_shape)
    for engine in engines:
        engine.retain_sizes(plan.sizes)
    logger.debug("Seconds by batch size: %s", dict(plan.seconds))
    return plan


def powers_of_two_up_to(largest: int) -> tuple[int, ...]:
    """1, 2, 4, 8, ..., and `largest`."""
    return tuple(sorted({largest, *(2**power for power in range(largest.bit_length()))}))


def _holds(plan: BatchSizes, engine: Engine, input_shape: tuple[int, int, int]) -> bool:
    """Runs every size of it, and then the smallest until one run takes about as long as it says."""
    if plan.largest > engine.max_batch_size:
        return False
    for size in plan.sizes:
        _seconds(engine, size, input_shape)
    smallest = plan.sizes[0]
    for _ in range(ROUNDS):
        ratio = _seconds(engine, smallest, input_shape) / plan.seconds[smallest]
        if 1 / STILL_HOLDS <= ratio <= STILL_HOLDS:
            return True
    logger.info(
        "Batches take %.1f times what they took when they were measured: measuring again", ratio
    )
    return False


def _chosen(engine: Engine, input_shape: tuple[int, int, int]) -> BatchSizes:
    _seconds(engine, 1, input_shape)
    seconds = {1: _seconds(engine, 1, input_shape)}
    size, gain = 1, LEAST_GAIN
    while (
        gain >= LEAST_GAIN
        and 2 * size <= engine.max_batch_size
        and 2 * seconds[size] <= MAX_BATCH_SECONDS
    ):
        _seconds(engine, 2 * size, input_shape)
        # In turns: a machine that slows down meanwhile slows down both.
        turns = [
            (_seconds(engine, size, input_shape), _seconds(engine, 2 * size, input_shape))
            for _ in range(ROUNDS)
        ]
        once, doubled = (min(taken) for taken in zip(*turns, strict=True))
        seconds[size] = min(seconds[size], once)
        seconds[2 * size] = doubled
        size, gain = 2 * size, 2 * once / doubled
    best = max(size / taken for size, taken in seconds.items())
    largest = min(size for size, taken in seconds.items() if size / taken >= NEAR_BEST * best)
    return BatchSizes({size: taken for size, taken in seconds.items() if size <= largest})


def _seconds(engine: Engine, size: int, input_shape: tuple[int, int, int]) -> float:
    """What one run takes; a size's first is not what the later ones take."""
    pixels = np.zeros((size, *input_shape), np.uint8)
    started = time.perf_counter()
    engine.run(pixels)
    return time.perf_counter() - started
