"""Batch sizes chosen from what they take, on a clock that the test turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from service.batching import autotune as module
from service.batching.autotune import autotune, powers_of_two_up_to
from service.batching.batch_sizes import BatchSizes
from tests.service.fakes import Array, Pixels

SHAPE = (32, 32, 3)


class Clock:
    def __init__(self) -> None:
        self.now = self.cpu = 0.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.cpu


class TimedEngine:
    """Takes `seconds(size)` of the clock for a batch, ten times that for a size's first, and five
    times that for those after it that are disturbed: by their places among a size's runs, from 1.
    """

    device = "cpu:0"
    concurrency = 1
    alone: Callable[[Pixels], Array] | None = None
    divided = True

    def __init__(
        self,
        clock: Clock,
        seconds: Callable[[int], float],
        largest: int = 8,
        disturbed: tuple[int, ...] = (),
        takes_any_size: bool = False,
    ) -> None:
        self.takes_any_size = takes_any_size
        self.max_batch_size = largest
        self.runs: Counter[int] = Counter()
        self.kept: tuple[int, ...] = ()
        self._clock = clock
        self._seconds = seconds
        self._disturbed = disturbed

    def run(self, pixels: Pixels) -> Array:
        size = len(pixels)
        assert pixels.shape == (size, *SHAPE)
        first = not self.runs if self.takes_any_size else self.runs[size] == 0
        times = 10 if first else 5 if self.runs[size] in self._disturbed else 1
        self._clock.now += self._seconds(size) * times
        # Of two CPUs. Other load takes none of it.
        self._clock.cpu += self._seconds(size) * (20 if first else 2)
        self.runs[size] += 1
        return np.zeros((size, 1, 1, 512), np.float32)

    def divide(self) -> None:
        self.divided = True

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:
        self.kept = batch_sizes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("seconds", "sizes"),
    [
        # A CPU that a single image keeps busy: nothing is gained, each would only wait.
        (lambda size: 0.01 * size, (1,)),
        # A fixed cost of half an image's: 8 is the first that comes near the best rate.
        (lambda size: 0.005 + 0.01 * size, (1, 2, 4, 8)),
        # One of a tenth: half of that is gone at 2, which is near enough.
        (lambda size: 0.001 + 0.01 * size, (1, 2)),
        # It grows worse.
        (lambda size: 0.01 * size**1.5, (1,)),
    ],
)
def test_the_smallest_near_the_best_rate(
    clock: Clock, seconds: Callable[[int], float], sizes: tuple[int, ...]
) -> None:
    engine = TimedEngine(clock, seconds)
    plan = autotune([engine], SHAPE, None)
    assert plan.sizes == engine.kept == sizes
    # What was a size's first run is not what it takes.
    assert plan.seconds == pytest.approx({size: seconds(size) for size in sizes})


def test_two_of_three_runs_may_be_disturbed(clock: Clock) -> None:
    """Other work of the machine; the third tells what a batch takes."""
    engine = TimedEngine(clock, lambda size: 0.005 + 0.01 * size, disturbed=(1, 2))
    plan = autotune([engine], SHAPE, None)
    assert plan.seconds == pytest.approx({1: 0.015, 2: 0.025, 4: 0.045, 8: 0.085})
    known = TimedEngine(clock, lambda size: 0.005 + 0.01 * size, disturbed=(1, 2))
    assert autotune([known], SHAPE, None, plan) is plan


def test_looking_ends_where_nothing_is_gained(clock: Clock) -> None:
    engine = TimedEngine(clock, lambda size: 0.01 * size, largest=256)
    autotune([engine], SHAPE, None)
    assert set(engine.runs) == {1, 2}


def test_no_batch_takes_longer_than_a_fifth_of_a_second(clock: Clock) -> None:
    engine = TimedEngine(clock, lambda size: 0.015 + 0.02 * size, largest=256)
    plan = autotune([engine], SHAPE, None)
    assert plan.largest == 8
    assert 16 not in engine.runs


def test_a_device_that_gains_to_the_end_gets_its_largest(clock: Clock) -> None:
    engine = TimedEngine(clock, lambda _: 0.01, largest=256)
    assert autotune([engine], SHAPE, None).largest == 256


def test_a_size_that_was_set_is_not_questioned(clock: Clock) -> None:
    engine = TimedEngine(clock, lambda size: 0.01 * size)
    assert autotune([engine], SHAPE, 12).sizes == (1, 2, 4, 8, 12)


@pytest.mark.parametrize("disturbed", [1, 2])
def test_of_a_size_that_was_set_one_of_two_runs_may_be_disturbed(
    clock: Clock, disturbed: int
) -> None:
    engine = TimedEngine(clock, lambda size: 0.01 * size, disturbed=(disturbed,))
    assert autotune([engine], SHAPE, 2).seconds == pytest.approx({1: 0.01, 2: 0.02})


def test_what_was_measured_before_is_run_and_not_measured(clock: Clock) -> None:
    engines = [TimedEngine(clock, lambda size: 0.01 * size, largest=4) for _ in range(2)]
    known = BatchSizes({1: 0.011, 2: 0.019, 4: 0.04})
    assert autotune(engines, SHAPE, None, known) is known
    # The smallest once more, for it to be seen that the plan holds.
    assert engines[0].runs == {1: 2, 2: 1, 4: 1}
    assert engines[1].runs == {1: 1, 2: 1, 4: 1}
    assert engines[0].kept == engines[1].kept == (1, 2, 4)


def test_an_engine_that_has_run_is_run_once_for_what_was_measured_before(clock: Clock) -> None:
    engine = TimedEngine(clock, lambda size: 0.01 * size, takes_any_size=True)
    engine.run(np.zeros((1, *SHAPE), np.uint8))
    known = BatchSizes({1: 0.01, 2: 0.02})
    assert autotune([engine], SHAPE, None, known) is known
    assert engine.runs == {1: 2}


@pytest.mark.parametrize("seconds", [0.0066, 0.0152])
def test_what_does_not_hold_is_measured_again(clock: Clock, seconds: float) -> None:
    engine = TimedEngine(clock, lambda size: 0.01 * size)
    plan = autotune([engine], SHAPE, None, BatchSizes({1: seconds, 2: 2 * seconds}))
    assert plan.seconds == pytest.approx({1: 0.01})


def test_a_size_that_the_engine_is_not_for_is_not_run(clock: Clock) -> None:
    engine = TimedEngine(clock, lambda size: 0.01 * size)
    plan = autotune([engine], SHAPE, None, BatchSizes({1: 0.01, 1024: 10.0}))
    assert plan.sizes == (1,)
    assert 1024 not in engine.runs


def test_a_size_that_was_set_is_not_remembered_otherwise(clock: Clock) -> None:
    engine = TimedEngine(clock, lambda size: 0.01 * size)
    assert autotune([engine], SHAPE, 2, BatchSizes({1: 0.01})).sizes == (1, 2)


def test_every_engine_is_warm_for_every_size(clock: Clock) -> None:
    engines = [TimedEngine(clock, lambda size: 0.005 + 0.01 * size) for _ in range(3)]
    plan = autotune(engines, SHAPE, None)
    for engine in engines:
        assert set(engine.runs) >= set(plan.sizes)
        assert engine.kept == plan.sizes


@pytest.mark.parametrize(
    ("seconds", "sizes", "runs"),
    [
        # ResNet-50 in float32 on two cores.
        (lambda size: 0.035 * size, (1, 2, 4, 8), {1: 4, 2: 2}),
        (lambda size: 0.06 * size, (1, 2, 4, 8), {1: 4, 2: 2}),
        # No batch takes longer than half a second.
        (lambda size: 0.1 * size, (1, 2, 4), {1: 4, 2: 2}),
        (lambda size: 0.01 + 0.3 * size, (1,), {1: 4, 2: 2}),
        (lambda size: 0.005 + 0.01 * size, (1, 2, 4, 8), {1: 4, 8: 2}),
        (lambda size: 0.001 + 0.002 * size, (1, 2, 4, 8), {1: 6, 8: 4}),
        # What is a little slower for each image counts as no slower.
        (lambda size: 0.01 * size**1.04, (1, 2, 4, 8), {1: 4, 8: 2}),
        (lambda size: 0.01 * size**1.5, (1,), {1: 4, 8: 2}),
        (lambda _: 0.3, (1, 2, 4, 8), {1: 4, 2: 2}),
        (lambda _: 0.6, (1,), {1: 4, 2: 2}),
    ],
)
def test_of_an_engine_that_takes_any_size_two_are_run(
    clock: Clock, seconds: Callable[[int], float], sizes: tuple[int, ...], runs: dict[int, int]
) -> None:
    engine = TimedEngine(clock, seconds, takes_any_size=True)
    plan = autotune([engine], SHAPE, None)
    assert plan.sizes == engine.kept == sizes
    assert engine.runs == runs
    assert plan.seconds == pytest.approx({size: seconds(size) for size in sizes}, rel=0.09)


def test_of_each_of_the_two_one_run_may_be_disturbed(clock: Clock) -> None:
    engine = TimedEngine(clock, lambda size: 0.005 + 0.01 * size, disturbed=(1,))
    engine.takes_any_size = True
    plan = autotune([engine], SHAPE, None)
    assert plan.seconds == pytest.approx({1: 0.015, 2: 0.025, 4: 0.045, 8: 0.085})


def test_of_the_larger_of_the_two_every_run_may_be_disturbed(clock: Clock) -> None:
    """A start on a busy machine: batches of one would serve until the next start."""

    class Disturbed(TimedEngine):
        def run(self, pixels: Pixels) -> Array:
            if len(pixels) > 1:
                self._clock.now += 0.2
                # Threads that wait for each other: a quarter more.
                self._clock.cpu += 0.25 * 2 * self._seconds(len(pixels))
            return super().run(pixels)

    engine = Disturbed(clock, lambda size: 0.002 + 0.01 * size, takes_any_size=True)
    plan = autotune([engine], SHAPE, None)
    assert plan.seconds == pytest.approx({1: 0.012, 2: 0.024, 4: 0.048, 8: 0.096}, rel=0.1)
    assert plan.take(8) == 8


def test_an_engine_that_takes_any_size_runs_none_that_it_knows(clock: Clock) -> None:
    engines = [TimedEngine(clock, lambda size: 0.01 * size, takes_any_size=True) for _ in range(2)]
    known = BatchSizes({1: 0.01, 8: 0.08})
    assert autotune(engines, SHAPE, None, known) is known
    assert [engine.runs for engine in engines] == [{1: 2}, {1: 1}]


@pytest.mark.parametrize(
    ("cached", "measured"),
    [
        # On both parts of the device a batch takes twice as long as on all of it, or less.
        (0.02, False),
        (0.012, False),
        # Cached on a machine that did other work.
        (0.06, True),
        (0.005, True),
    ],
)
def test_a_device_is_divided_to_measure_it_and_not_before(
    clock: Clock, cached: float, measured: bool
) -> None:
    engine = TimedEngine(clock, lambda size: 0.01 * size, takes_any_size=True)
    engine.concurrency, engine.alone, engine.divided = 2, engine.run, False
    known = BatchSizes({1: cached, 4: 4 * cached})
    assert (autotune([engine], SHAPE, None, known) is not known) == measured
    assert engine.divided == measured
    assert (len(engine.runs) > 1) == measured


@pytest.mark.parametrize(("largest", "sizes"), [(1, (1,)), (3, (1, 2, 3)), (16, (1, 2, 4, 8, 16))])
def test_an_engine_that_takes_any_size_gets_those_that_were_set(
    clock: Clock, largest: int, sizes: tuple[int, ...]
) -> None:
    engine = TimedEngine(clock, lambda size: 0.01 * size, takes_any_size=True)
    plan = autotune([engine], SHAPE, largest, BatchSizes({1: 0.01}))
    assert plan.seconds == pytest.approx({size: 0.01 * size for size in sizes})


def test_an_engine_that_fails_does_not_warm_up(clock: Clock) -> None:
    def fails(size: int) -> float:
        raise RuntimeError(f"out of memory at {size}")

    with pytest.raises(RuntimeError, match="out of memory at 1"):
        autotune([TimedEngine(clock, fails)], SHAPE, None)


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (8, (1, 2, 4, 8))]
)
def test_sizes_double(largest: int, sizes: tuple[int, ...]) -> None:
    assert powers_of_two_up_to(largest) == sizes
