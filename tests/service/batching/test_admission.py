"""Who is let in, by what the batcher expects: nothing here waits for a clock."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.batching.admission import Admission
from service.batching.batch_sizes import BatchSizes
from service.batching.batcher import Batcher
from service.batching.item import Array, Pixels
from service.errors import DeadlineExceeded, Overloaded, QueueFull, TooManyImages
from tests.service.fakes import WAIT_SECONDS, Recorder, eventually

IMAGE = np.zeros((1, 1, 3), np.uint8)
LATER = math.inf
# A batch of one or two takes 100 s, so whatever the test takes itself is nothing to it.
PLAN = BatchSizes({1: 100.0, 2: 100.0})


def nothing(pixels: Pixels, _: frozenset[str]) -> Array:
    return np.zeros((len(pixels), 1), np.float32)


@pytest.fixture
def batcher() -> Iterator[Batcher[Any]]:
    """With one image on its device, which stays there."""
    go_on, busy = threading.Event(), threading.Event()

    def run(pixels: Pixels, _: frozenset[str]) -> Array:
        busy.set()
        assert go_on.wait(WAIT_SECONDS)
        return np.zeros((len(pixels), 1), np.float32)

    batcher = Batcher([run], batch_sizes=PLAN, observer=Recorder())
    batcher.start()
    wait(batcher, 1)
    assert busy.wait(WAIT_SECONDS)
    yield batcher
    go_on.set()
    batcher.close(WAIT_SECONDS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The door's own: it stands still unless a test moves it."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(
        "service.batching.admission.time",
        SimpleNamespace(monotonic=lambda: clock.now),
    )
    return clock


def standing(waiting: int) -> Batcher[Any]:
    """With so many in its queue and a device that takes none of them: what it expects is exact."""
    batcher = Batcher([nothing], batch_sizes=PLAN, observer=Recorder())
    wait(batcher, waiting)
    return batcher


def wait(batcher: Batcher[Any], images: int) -> None:
    for _ in range(images):
        batcher.submit(IMAGE, deadline=LATER)


def within(seconds: float) -> float:
    return time.monotonic() + seconds


def test_the_wait_is_the_rest_of_this_batch_and_all_that_is_ahead(batcher: Batcher[Any]) -> None:
    admission = Admission(batcher, queue_limit=100, wait_limit_seconds=1000)
    assert admission.wait_seconds == pytest.approx(100, abs=WAIT_SECONDS)
    wait(batcher, 3)
    assert admission.wait_seconds == pytest.approx(300, abs=WAIT_SECONDS)
    places = admission.admit(1, deadline=LATER)
    places_of_another = admission.admit(2, deadline=LATER)
    assert admission.wait_seconds == pytest.approx(400, abs=WAIT_SECONDS)
    places.release(1)
    places.release(1)
    places_of_another.release(1)
    places_of_another.release()
    places_of_another.release()
    assert admission.wait_seconds == pytest.approx(300, abs=WAIT_SECONDS)


def test_two_devices_halve_the_wait() -> None:
    batcher = Batcher([nothing, nothing], batch_sizes=PLAN, observer=Recorder())
    wait(batcher, 8)
    assert batcher.seconds_until(0) == 200
    assert batcher.seconds_until(-7) == 100
    assert batcher.seconds_until(-8) == batcher.seconds_until(-9) == 0


def test_a_wait_beyond_the_limit_is_refused_with_what_is_too_much(batcher: Batcher[Any]) -> None:
    admission = Admission(batcher, queue_limit=100, wait_limit_seconds=150)
    admission.check(1, deadline=LATER)
    wait(batcher, 3)
    with pytest.raises(Overloaded, match=r"The wait is about \d+\.\d s, and 150 s is") as refusal:
        admission.admit(1, deadline=LATER)
    assert refusal.value.retry_after_seconds == pytest.approx(150, abs=WAIT_SECONDS)


def test_an_answer_that_would_be_late_is_refused(batcher: Batcher[Any]) -> None:
    admission = Admission(batcher, queue_limit=100, wait_limit_seconds=1000)
    # This batch and its own, and half as much again: 300 s.
    admission.check(2, deadline=within(400))
    with pytest.raises(Overloaded, match="the request has") as refusal:
        admission.check(2, deadline=within(220))
    assert refusal.value.retry_after_seconds == pytest.approx(80, abs=2 * WAIT_SECONDS)
    with pytest.raises(DeadlineExceeded):
        admission.check(1, deadline=within(-1))


def test_the_number_counts_what_is_being_decoded(batcher: Batcher[Any]) -> None:
    admission = Admission(batcher, queue_limit=4, wait_limit_seconds=1000)
    wait(batcher, 1)
    admission.admit(2, deadline=LATER)
    with pytest.raises(QueueFull, match="3 images are waiting, and 4 may") as refusal:
        admission.check(2, deadline=LATER)
    assert refusal.value.retry_after_seconds is not None
    assert refusal.value.retry_after_seconds > 100 - WAIT_SECONDS
    admission.check(1, deadline=LATER)
    with pytest.raises(TooManyImages):
        admission.check(5, deadline=LATER)


def test_the_pace_is_what_was_measured_last() -> None:
    batcher = Batcher(
        [lambda pixels, _: np.zeros((len(pixels), 1), np.float32)],
        batch_sizes=BatchSizes({1: 100.0}),
        observer=Recorder(),
    )
    batcher.start()
    before = batcher.seconds_until(1)
    admission = Admission(batcher, queue_limit=100, wait_limit_seconds=1000)
    admission.check(1, deadline=within(WAIT_SECONDS))
    batcher.submit(IMAGE, deadline=LATER).result(WAIT_SECONDS)
    assert before == 100
    eventually(lambda: batcher.seconds_until(1) < 95)
    assert batcher.close(WAIT_SECONDS)


def test_as_much_as_may_be_is_let_in(clock: SimpleNamespace) -> None:
    admission = Admission(standing(1), queue_limit=4, wait_limit_seconds=100)
    # What waits is a batch of 100 s, which a second image fits into: half as much again is 150 s.
    admission.check(1, deadline=150)
    admission.check(3, deadline=LATER)
    with pytest.raises(Overloaded):
        admission.check(1, deadline=149.9)
    with pytest.raises(QueueFull):
        admission.check(4, deadline=LATER)
    with pytest.raises(DeadlineExceeded):
        admission.check(1, deadline=clock.now)
    empty = Admission(standing(0), queue_limit=4, wait_limit_seconds=100)
    empty.check(4, deadline=0.5)


def test_a_full_queue_says_when_there_will_be_room() -> None:
    admission = Admission(standing(3), queue_limit=6, wait_limit_seconds=1000)
    admission.admit(2, deadline=LATER)
    # When two of the three that wait are done.
    with pytest.raises(QueueFull) as refusal:
        admission.check(2, deadline=LATER)
    assert refusal.value.retry_after_seconds == 100


def test_lateness_is_believed_by_half_and_forgotten_slowly(clock: SimpleNamespace) -> None:
    admission = Admission(standing(1), queue_limit=100, wait_limit_seconds=1000)

    def assert_needed(seconds: float) -> None:
        admission.check(1, deadline=clock.now + seconds)
        with pytest.raises(Overloaded):
            admission.check(1, deadline=clock.now + seconds - 0.01)

    assert_needed(150)
    admission.record_lateness(100)
    assert_needed(150 + 50)
    # To be early counts as in time.
    admission.record_lateness(-5)
    assert_needed(150 + 49)
    # However late it was, half of the time left is for what is ahead.
    admission.record_lateness(1_000_000)
    assert_needed(300)


def test_a_request_that_is_through_tells_how_late_it_was(clock: SimpleNamespace) -> None:
    admission = Admission(standing(1), queue_limit=100, wait_limit_seconds=1000)
    places = admission.admit(1, deadline=LATER)
    clock.now += 160
    # It was expected after 100 s.
    places.record_completion()
    places.release()
    admission.check(1, deadline=clock.now + 150 + 30)
    with pytest.raises(Overloaded):
        admission.check(1, deadline=clock.now + 150 + 29.9)
