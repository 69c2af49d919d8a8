"""The batcher alone: threads and futures, no event loop, no network."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching.batch_sizes import BatchSizes
from service.batching.batcher import Batcher
from service.batching.item import BatchFn, Result
from service.errors import (
    DeadlineExceeded,
    InferenceFailed,
    Overloaded,
    ShuttingDown,
    WorkerLost,
)
from tests.service.fakes import WAIT_SECONDS, Recorder, eventually

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
Outcome = Literal["answer", "raise", "too few"]

LATER = float("inf")
PASSED = float("-inf")


def nothing(pixels: Pixels, _: frozenset[str]) -> npt.NDArray[np.float32]:
    return np.zeros((len(pixels), 1), np.float32)


class Killed(BaseException):
    """What no batch is expected to raise."""


def numbered(number: int) -> Pixels:
    """An image of one pixel that says which it is."""
    return np.array([[[number // 256, number % 256, 1]]], np.uint8)


class Device:
    """A `run` whose output is each image's number; -1 for padding.

    While it is gated a batch waits in it until `finish` says how it ends.
    """

    def __init__(self, *, gated: bool = False) -> None:
        self.sizes: list[int] = []
        self.numbers: list[list[int]] = []
        self.arrivals: queue.Queue[list[int]] = queue.Queue()
        self._outcomes: queue.Queue[Outcome | BaseException] = queue.Queue()
        self._gated = gated

    def __call__(self, pixels: Pixels, _: frozenset[str] = frozenset()) -> Array:
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:] == (1, 1, 3)
        values = pixels[:, 0, 0].astype(int)
        numbers = np.where(values[:, 2] == 1, values[:, 0] * 256 + values[:, 1], -1)
        real = [int(number) for number in numbers if number >= 0]
        self.sizes.append(len(pixels))
        self.numbers.append(real)
        self.arrivals.put(real)
        outcome: Outcome | BaseException = "answer"
        if self._gated:
            outcome = self._outcomes.get(timeout=WAIT_SECONDS)
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome == "raise":
            raise RuntimeError("the device failed")
        output = numbers.astype(np.float32)
        return output[: len(real) - 1] if outcome == "too few" else output

    def finish(self, outcome: Outcome | BaseException = "answer") -> None:
        self._outcomes.put(outcome)

    def open(self) -> None:
        """From now on it answers, the batch that waits in it too."""
        self._gated = False
        self._outcomes.put("answer")

    def next_batch(self) -> list[int]:
        """The numbers in the next batch that arrives, which may still be under way."""
        return self.arrivals.get(timeout=WAIT_SECONDS)


class Clock:
    """The batcher's, where a test sets it: ahead of the real one, by which images come."""

    now = 1e9
    sleep = staticmethod(time.sleep)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("service.batching.batcher.time", clock)
    return clock


def batch_sizes_of(batch_sizes: Iterable[int]) -> BatchSizes:
    """Every size takes the same time: to take all that wait is best."""
    return BatchSizes(dict.fromkeys(batch_sizes, 1.0))


class Start(Protocol):
    def __call__(
        self,
        *runs: BatchFn[Any],
        batch_sizes: Sequence[int] = (1, 2, 4),
        observer: Recorder | None = None,
    ) -> Batcher[Any]: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """A batcher that runs, closed at the end."""
    with ExitStack() as stack:

        def make(
            *runs: BatchFn[Any],
            batch_sizes: Sequence[int] = (1, 2, 4),
            observer: Recorder | None = None,
        ) -> Batcher[Any]:
            batcher = Batcher(
                runs,
                batch_sizes=batch_sizes_of(batch_sizes),
                observer=observer or Recorder(),
            )
            batcher.start()
            stack.callback(batcher.close, WAIT_SECONDS)
            for run in runs:
                if isinstance(run, Device):
                    stack.callback(run.open)
            return batcher

        yield make


def submit(
    batcher: Batcher[Any], numbers: Sequence[int], deadline: float = LATER, client: str = ""
) -> list[Future[Result[Any]]]:
    return [
        batcher.submit(numbered(number), deadline=deadline, client=client) for number in numbers
    ]


def answers(futures: Sequence[Future[Result[Any]]]) -> list[int]:
    return [int(future.result(WAIT_SECONDS).output) for future in futures]


def failure(future: Future[Result[Any]]) -> BaseException | None:
    return future.exception(WAIT_SECONDS)


def test_a_single_image_runs_at_once(start: Start) -> None:
    device = Device()
    batcher = start(device)
    began = time.monotonic()
    (future,) = submit(batcher, [7])
    result = future.result(WAIT_SECONDS)
    took = time.monotonic() - began
    assert result.output == 7
    assert result.batch_size == 1
    assert result.queue_seconds >= 0
    assert result.inference_seconds >= 0
    assert result.queue_seconds + result.inference_seconds <= took
    assert device.sizes == [1]


def test_the_next_batch_gathers_while_the_device_works(start: Start) -> None:
    device = Device(gated=True)
    batcher = start(device)
    first = submit(batcher, [0])
    assert device.next_batch() == [0]
    rest = submit(batcher, range(1, 8))
    assert batcher.depth == 7
    device.finish()
    assert device.next_batch() == [1, 2, 3, 4]
    assert batcher.depth == 3
    device.finish()
    assert device.next_batch() == [5, 6, 7]
    device.finish()
    assert answers(first + rest) == list(range(8))
    assert [future.result().batch_size for future in first + rest] == [1, 4, 4, 4, 4, 3, 3, 3]


@pytest.mark.parametrize(
    ("waiting", "size"), [(1, 1), (2, 2), (3, 3), (4, 6), (5, 6), (6, 6), (7, 8), (8, 8)]
)
def test_a_batch_is_padded_to_the_next_size_and_padding_is_not_returned(
    start: Start, waiting: int, size: int
) -> None:
    device, observer = Device(gated=True), Recorder()
    batcher = start(device, batch_sizes=(8, 1, 3, 2, 6), observer=observer)
    first = submit(batcher, [100])
    device.next_batch()
    futures = submit(batcher, range(waiting))
    device.open()
    assert answers(first + futures) == [100, *range(waiting)]
    assert device.sizes == [1, size]
    assert observer.done == [1, waiting]
    assert batcher.close(WAIT_SECONDS)
    assert observer.worker_failures == {}


def test_what_is_cancelled_is_dropped_before_it_costs_anything(start: Start) -> None:
    device, observer = Device(gated=True), Recorder()
    batcher = start(device, observer=observer)
    first = submit(batcher, [0])
    device.next_batch()
    waiting = submit(batcher, range(1, 7))
    assert all(waiting[index].cancel() for index in (0, 2, 5))
    device.open()
    assert answers([*first, waiting[1], waiting[3], waiting[4]]) == [0, 2, 4, 5]
    assert batcher.close(WAIT_SECONDS)
    assert device.numbers == [[0], [2, 4, 5]]
    assert observer.drops == {"cancelled": 3}


def test_an_image_on_the_device_can_no_longer_be_cancelled(start: Start) -> None:
    device = Device(gated=True)
    (future,) = submit(start(device), [1])
    device.next_batch()
    assert not future.cancel()
    device.finish()
    assert answers([future]) == [1]


def test_past_its_deadline_an_image_is_answered_and_not_run(start: Start) -> None:
    device, observer = Device(gated=True), Recorder()
    batcher = start(device, observer=observer)
    first = submit(batcher, [0])
    device.next_batch()
    late, in_time = submit(batcher, [1], deadline=PASSED) + submit(batcher, [2])
    device.open()
    assert isinstance(failure(late), DeadlineExceeded)
    assert answers([*first, in_time]) == [0, 2]
    assert device.numbers == [[0], [2]]
    assert observer.drops == {"deadline": 1}


def test_what_waited_and_can_no_longer_be_done_in_time_is_not_begun(start: Start) -> None:
    device, observer = Device(gated=True), Recorder()
    batcher = start(device, observer=observer)
    first = submit(batcher, [0])
    device.next_batch()
    for _ in range(40):
        batcher.latency.observe(1, 0.2)
    one_batch = batcher.latency.batch_seconds(1)
    late = submit(batcher, [1], deadline=time.monotonic() + 2 * one_batch)
    time.sleep(1.2 * one_batch)
    device.open()
    assert isinstance(failure(late[0]), Overloaded)
    assert answers(first) == [0]
    # Behind nobody it may try.
    assert answers(submit(batcher, [2], deadline=time.monotonic() + WAIT_SECONDS)) == [2]
    assert observer.drops == {"deadline": 1}


def test_a_queue_of_none_but_dropped_images_leaves_the_device_alone(start: Start) -> None:
    device, observer = Device(), Recorder()
    late = submit(start(device, observer=observer), [1, 2, 3], deadline=PASSED)
    assert all(isinstance(failure(future), DeadlineExceeded) for future in late)
    assert device.sizes == []
    assert observer.drops == {"deadline": 3}


def test_a_failing_batch_fails_only_its_own(start: Start) -> None:
    device, observer = Device(gated=True), Recorder()
    batcher = start(device, batch_sizes=(1, 2), observer=observer)
    first = submit(batcher, [0])
    device.next_batch()
    doomed = submit(batcher, [1, 2])
    after = submit(batcher, [3, 4])
    device.finish()
    device.next_batch()
    device.finish("raise")
    device.open()
    for future in doomed:
        error = failure(future)
        assert isinstance(error, InferenceFailed)
        assert "the device failed" not in str(error)
        assert str(error.__cause__) == "the device failed"
    assert answers(first + after) == [0, 3, 4]
    assert batcher.alive
    assert (observer.done, observer.failed) == ([1, 2], [2])


def test_too_few_outputs_fail_the_batch(start: Start) -> None:
    device = Device(gated=True)
    batcher = start(device)
    first = submit(batcher, [0])
    device.next_batch()
    short = submit(batcher, [1, 2, 3])
    device.finish()
    device.finish("too few")
    for future in short:
        error = failure(future)
        assert isinstance(error, InferenceFailed)
        assert str(error.__cause__) == "2 rows for a batch of 3"
    device.open()
    assert answers(first + submit(batcher, [4])) == [0, 4]


def test_a_worker_that_dies_starts_anew_and_loses_its_batch_only(start: Start) -> None:
    device, observer = Device(gated=True), Recorder()
    batcher = start(device, batch_sizes=(1, 2), observer=observer)
    under_way = submit(batcher, [0])
    device.next_batch()
    waiting = submit(batcher, [1, 2, 3])
    device.finish(Killed("no more"))
    device.open()
    assert isinstance(failure(under_way[0]), WorkerLost)
    assert answers(waiting) == [1, 2, 3]
    assert batcher.alive
    assert (observer.failed, observer.worker_failures) == ([1], {"died": 1})


def test_a_fault_outside_a_batch_answers_the_batch_too(start: Start) -> None:
    class Broken(Recorder):
        def batch_done(
            self, queue_seconds: Sequence[float], inference_seconds: float, *, failed: int = 0
        ) -> None:
            assert failed == 0
            if not self.worker_failures:
                raise ZeroDivisionError
            super().batch_done(queue_seconds, inference_seconds)

    observer = Broken()
    batcher = start(Device(), observer=observer)
    assert isinstance(failure(submit(batcher, [0])[0]), WorkerLost)
    assert answers(submit(batcher, [1])) == [1]
    assert observer.worker_failures == {"died": 1}


def test_a_stuck_worker_loses_its_batch_and_all_that_wait_until_it_comes_back(
    start: Start,
) -> None:
    device, observer = Device(gated=True), Recorder()
    batcher = start(device, observer=observer)
    images = submit(batcher, [0])
    device.next_batch()
    images += submit(batcher, [1, 2])
    batcher.fail_stuck_batches(stuck_timeout_seconds=60)
    assert not batcher.stuck
    batcher.fail_stuck_batches(stuck_timeout_seconds=0)
    assert all(isinstance(failure(image), WorkerLost) for image in images)
    batcher.fail_stuck_batches(stuck_timeout_seconds=0)
    assert batcher.stuck
    assert observer.worker_failures == {"stuck": 1}
    with pytest.raises(WorkerLost):
        submit(batcher, [3])
    device.open()
    eventually(lambda: not batcher.stuck)
    assert answers(submit(batcher, [4])) == [4]
    # What it answers too late for anybody is no fault of its own.
    assert observer.worker_failures == {"stuck": 1}


def test_a_stuck_worker_leaves_the_queue_to_another(
    start: Start, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    devices = [Device(gated=True), Device(gated=True)]
    batcher = start(*devices, batch_sizes=(1,))
    futures = submit(batcher, [0])
    eventually(lambda: any(device.sizes for device in devices))
    devices.sort(key=lambda device: device.sizes, reverse=True)
    living = devices[1]
    clock.now += 100
    futures += submit(batcher, [1])
    assert living.next_batch() == [1]
    futures += submit(batcher, [2])
    clock.now += 10
    batcher.fail_stuck_batches(stuck_timeout_seconds=60)
    assert batcher.stuck
    assert isinstance(failure(futures[0]), WorkerLost)
    assert "is stuck: 110.0 s in a batch" in caplog.text
    living.open()
    assert answers(futures[1:] + submit(batcher, [3])) == [1, 2, 3]


def test_all_devices_answer_together_as_many_as_their_largest_batches_do() -> None:
    plan = BatchSizes({1: 0.5, 2: 0.5})
    batcher = Batcher([nothing, nothing], batch_sizes=plan, observer=Recorder())
    assert batcher.images_per_second == 8


def test_what_is_expected_is_the_rest_of_a_batch_and_all_that_is_ahead(
    start: Start, clock: Clock
) -> None:
    plan = BatchSizes({1: 0.5, 2: 1.0})
    idle = Batcher([nothing, nothing], batch_sizes=plan, observer=Recorder())
    assert [idle.seconds_until(n, waiting=n) for n in (0, 1, 3, 8)] == [0, 0.5, 1, 2]
    # Others that wait fill the last batch.
    assert [idle.seconds_until(n, waiting=8) for n in (0, 1, 3, 8)] == [0, 1, 1, 2]
    # From here on every batch takes a second.
    device = Device(gated=True)
    busy = start(device, batch_sizes=(1, 2))
    submit(busy, [0])
    device.next_batch()
    clock.now += 0.25
    assert [busy.seconds_until(n, waiting=n) for n in (0, 2, 4)] == [0.75, 1.75, 2.75]
    # Overdue: it may end at any moment.
    clock.now += 5
    assert [busy.seconds_until(n, waiting=3) for n in (0, 3)] == [0, 2]


def test_a_self_test_goes_first_and_is_not_counted(start: Start) -> None:
    device, observer = Device(gated=True), Recorder()
    batcher = start(device, batch_sizes=(1, 2), observer=observer)
    first = submit(batcher, [0])
    device.next_batch()
    waiting = submit(batcher, [1, 2])
    self_test = batcher.submit(numbered(9), deadline=LATER, self_test=True, worker=0)
    device.open()
    assert answers([*first, *waiting, self_test]) == [0, 1, 2, 9]
    assert device.numbers == [[0], [9, 1], [2]]
    assert answers([batcher.submit(numbered(8), deadline=LATER, self_test=True, worker=0)]) == [8]
    assert (observer.done, observer.images) == ([1, 1, 1], 3)


def test_what_is_cancelled_gives_its_place_up_at_once(start: Start) -> None:
    device, observer = Device(gated=True), Recorder()
    batcher = start(device, observer=observer)
    first = submit(batcher, [0])
    device.next_batch()
    (waiting,) = submit(batcher, [1])
    assert waiting.cancel()
    assert batcher.depth == 0
    assert observer.drops == {"cancelled": 1}
    after = submit(batcher, [2])
    device.open()
    assert answers(first + after) == [0, 2]


def test_close_drains_the_queue_then_refuses(start: Start) -> None:
    device = Device(gated=True)
    batcher = start(device)
    futures = submit(batcher, range(7))
    device.next_batch()
    done: list[bool] = []
    closing = threading.Thread(target=lambda: done.append(batcher.close(WAIT_SECONDS)))
    closing.start()
    device.open()
    closing.join(WAIT_SECONDS)
    assert done == [True]
    assert answers(futures) == list(range(7))
    assert not batcher.alive
    with pytest.raises(ShuttingDown):
        submit(batcher, [8])


def test_close_gives_a_stuck_worker_up_and_fails_what_waits(start: Start) -> None:
    device = Device(gated=True)
    batcher = start(device)
    (stuck,) = submit(batcher, [0])
    device.next_batch()
    waiting = submit(batcher, [1, 2])
    waiting[0].cancel()
    assert batcher.close(0.01) is False
    assert isinstance(failure(waiting[1]), ShuttingDown)
    assert not stuck.done()
    device.open()
    assert answers([stuck]) == [0]
    assert batcher.close(WAIT_SECONDS) is True
    assert device.numbers == [[0]]


def test_closing_two_stuck_devices_takes_no_longer_than_one(
    start: Start, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [Device(gated=True), Device(gated=True)]
    batcher = start(*devices, batch_sizes=(1,))
    futures = submit(batcher, [0, 1])
    assert sorted(device.next_batch() for device in devices) == [[0], [1]]
    waits = []

    def join(_: threading.Thread, timeout: float) -> None:
        waits.append(timeout)
        clock.now += 1.1 * timeout

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", join)
        assert batcher.close(5) is False
    assert waits == [5, 0]
    for device in devices:
        device.open()
    assert answers(futures) == [0, 1]


def test_close_before_start_fails_what_waits() -> None:
    batcher = Batcher([Device()], batch_sizes=batch_sizes_of((1,)), observer=Recorder())
    (future,) = submit(batcher, [1])
    assert batcher.close(0)
    assert isinstance(failure(future), ShuttingDown)


def test_closing_an_idle_batcher_twice(start: Start) -> None:
    batcher = start(Device())
    assert batcher.close(WAIT_SECONDS)
    assert batcher.close(WAIT_SECONDS)


def test_two_devices_work_at_the_same_time(start: Start) -> None:
    both = threading.Barrier(2)
    devices = [Device(), Device()]

    def run_on(device: Device) -> BatchFn[Any]:
        def run(pixels: Pixels, _: frozenset[str] = frozenset()) -> Array:
            # Passes only when the other device is in here too.
            both.wait(WAIT_SECONDS)
            return device(pixels)

        return run

    batcher = start(*map(run_on, devices), batch_sizes=(1,))
    assert answers(submit(batcher, [0, 1, 2, 3])) == [0, 1, 2, 3]
    assert [len(device.sizes) for device in devices] == [2, 2]


Step = tuple[str, int]
STEPS = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 6)),
    st.tuples(st.just("submit late"), st.integers(1, 2)),
    st.tuples(st.just("cancel"), st.integers(0, 40)),
    st.tuples(st.sampled_from(["answer", "raise", "too few"]), st.just(0)),
)


@given(
    steps=st.lists(STEPS, max_size=40),
    device_count=st.integers(1, 3),
    batch_sizes=st.sets(st.integers(1, 6), min_size=1),
)
@settings(deadline=None, max_examples=150)
def test_every_request_gets_exactly_one_answer_its_own(
    steps: list[Step], device_count: int, batch_sizes: set[int]
) -> None:
    """Whatever comes in which order; the threads add orders of their own."""
    devices = [Device(gated=True) for _ in range(device_count)]
    observer = Recorder()
    batcher = Batcher(devices, batch_sizes=batch_sizes_of(batch_sizes), observer=observer)
    batcher.start()
    futures: list[Future[Result[Any]]] = []
    late: set[int] = set()
    cancelled: set[int] = set()
    calls: list[int] = []
    outcomes: set[str] = set()
    for turn, (step, value) in enumerate(steps):
        if step == "cancel":
            if value < len(futures) and futures[value].cancel():
                cancelled.add(value)
        elif step.startswith("submit"):
            for _ in range(value):
                number = len(futures)
                deadline = PASSED if step == "submit late" else time.monotonic() + 3600
                future = batcher.submit(numbered(number), deadline=deadline)
                future.add_done_callback(lambda _, number=number: calls.append(number))  # type: ignore[misc]
                futures.append(future)
                if step == "submit late":
                    late.add(number)
        else:
            outcomes.add(step)
            devices[turn % device_count].finish(step)  # type: ignore[arg-type]
    for device in devices:
        device.open()
    assert batcher.close(WAIT_SECONDS)

    assert sorted(calls) == list(range(len(futures)))
    ran = [number for device in devices for batch in device.numbers for number in batch]
    assert len(ran) == len(set(ran))
    assert not set(ran) & (late | cancelled)
    for number, future in enumerate(futures):
        assert future.cancelled() == (number in cancelled)
        if future.cancelled():
            continue
        error = future.exception(0)
        if error is None:
            assert future.result(0).output == number
        elif isinstance(error, DeadlineExceeded):
            assert number in late
        else:
            assert isinstance(error, InferenceFailed)
            assert outcomes & {"raise", "too few"}
            assert number in ran
    assert all(size in batch_sizes for device in devices for size in device.sizes)
    assert observer.images == len(futures)


class Halves(list[float]):
    """Rows of which the second can't be given."""

    def __getitem__(self, row: Any, /) -> Any:
        if row == 1:
            raise InferenceFailed("the second")
        return super().__getitem__(row)


def test_an_error_of_one_row_fails_that_row_alone(start: Start) -> None:
    observer = Recorder()
    gate = threading.Event()

    def run(pixels: Pixels, _: frozenset[str]) -> Halves:
        assert gate.wait(WAIT_SECONDS)
        return Halves([0.0, 1.0, 2.0, 3.0][: len(pixels)])

    batcher = start(run, batch_sizes=(4,), observer=observer)
    held = submit(batcher, [9])
    eventually(lambda: batcher.depth == 0)
    futures = submit(batcher, [0, 1, 2])
    gate.set()
    assert answers([*held, futures[0], futures[2]]) == [0, 0, 2]
    assert str(failure(futures[1])) == "the second"
    assert observer.images == 4
    assert (observer.done, observer.failed) == ([1, 2], [1])


def test_rows_name_the_outputs_that_the_batch_needs(start: Start) -> None:
    seen: list[frozenset[str]] = []
    gate = threading.Event()

    def run(pixels: Pixels, outputs: frozenset[str]) -> list[int]:
        seen.append(outputs)
        assert gate.wait(WAIT_SECONDS)
        return [0] * len(pixels)

    batcher = start(run, batch_sizes=(1, 2))
    first = batcher.submit(numbered(0), deadline=LATER)
    eventually(lambda: batcher.depth == 0)
    others = [
        batcher.submit(numbered(0), deadline=LATER, outputs=frozenset(names))
        for names in (["logits"], ["embedding", "logits"])
    ]
    gate.set()
    answers([first, *others])
    assert seen == [frozenset(), {"logits", "embedding"}]
