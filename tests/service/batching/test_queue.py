"""What waits, and what of it is still worth beginning, by a clock of the test's own."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from service.batching.batch_sizes import BatchSizes
from service.batching.item import BatchItem
from service.batching.latency import LatencyEstimator
from service.batching.queue import BatchQueue
from service.errors import DeadlineExceeded, Overloaded

NOW = 1000.0
PLAN = BatchSizes({1: 10.0, 2: 100.0})


@pytest.fixture
def drops() -> list[str]:
    return []


@pytest.fixture
def queue(drops: list[str], monkeypatch: pytest.MonkeyPatch) -> BatchQueue[None]:
    monkeypatch.setattr("service.batching.queue.time", SimpleNamespace(monotonic=lambda: NOW))
    return BatchQueue(batch_sizes=PLAN, latency=LatencyEstimator(PLAN), dropped=drops.append)


def image(*, waited: float, left: float) -> BatchItem[None]:
    """Seconds since it came, and until its deadline."""
    pixels = np.zeros((1, 1, 3), np.uint8)
    return BatchItem(pixels, NOW + left, self_test=False, submitted=NOW - waited)


@pytest.mark.parametrize(
    ("waited", "left"),
    [(11, 10), (10, 9), (0, 1)],
    ids=["time enough for the smallest batch", "no longer than one batch", "not at all"],
)
def test_what_may_be_begun(
    queue: BatchQueue[None], drops: list[str], waited: float, left: float
) -> None:
    one = image(waited=waited, left=left)
    queue.put(one)
    assert queue.next_batch() == [one]
    assert drops == []


@pytest.mark.parametrize(
    ("waited", "left", "error", "says"),
    [
        (11, 9, Overloaded, "After 11.0 s in the queue the time left is too short"),
        (0, 0, DeadlineExceeded, "The deadline passed in the queue, after 0.0 s"),
    ],
)
def test_what_is_not_begun(
    queue: BatchQueue[None],
    drops: list[str],
    waited: float,
    left: float,
    error: type[Exception],
    says: str,
) -> None:
    one = image(waited=waited, left=left)
    queue.put(one)
    queue.close()
    assert queue.next_batch() == []
    with pytest.raises(error, match=says):
        one.future.result(0)
    assert drops == ["deadline"]


def test_what_was_cancelled_a_moment_ago_is_not_begun(
    queue: BatchQueue[None], drops: list[str]
) -> None:
    """Before whoever cancelled it came to take it out."""
    one, other = image(waited=0, left=10), image(waited=0, left=10)
    queue.put(one)
    queue.put(other)
    assert one.future.cancel()
    assert queue.next_batch() == [other]
    assert drops == ["cancelled"]


def test_who_waits_for_images_sleeps_and_looks_up_now_and_then(
    queue: BatchQueue[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that has nothing to do takes no CPU from those that decode."""
    waits: list[float | None] = []

    def wait(_: threading.Condition, timeout: float | None = None) -> bool:
        waits.append(timeout)
        queue.close()
        return False

    monkeypatch.setattr(threading.Condition, "wait", wait)
    assert queue.next_batch() == []
    assert waits == [1.0]


def test_a_higher_priority_goes_ahead_and_equals_keep_their_order(queue: BatchQueue[None]) -> None:
    first, second, urgent = (image(waited=0, left=10) for _ in range(3))
    urgent.priority = 1
    for item in (first, second, urgent):
        queue.put(item)
    assert [queue.next_batch() for _ in range(3)] == [[urgent], [first], [second]]


def test_an_item_for_one_worker_is_taken_by_no_other(queue: BatchQueue[None]) -> None:
    anyones, pinned = image(waited=0, left=10), image(waited=0, left=10)
    pinned.worker = 1
    queue.put(anyones)
    queue.put(pinned)
    assert queue.depth == 1
    assert queue.next_batch(0) == [anyones]
    queue.close()
    assert queue.next_batch(0) == []
    assert queue.next_batch(1) == [pinned]
