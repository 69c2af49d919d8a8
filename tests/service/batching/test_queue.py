"""What waits, and what of it is still worth beginning, by a clock of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.batching.batch_sizes import BatchSizes
from service.batching.item import BatchItem
from service.batching.latency import LatencyEstimator
from service.batching.light_clients import SHORT_BATCHES_SECONDS
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


def image(
    *, waited: float = 0, left: float = 10, client: str = "", request: Hashable = None
) -> BatchItem[None]:
    """Seconds since it came, and until its deadline."""
    pixels = np.zeros((1, 1, 3), np.uint8)
    return BatchItem(
        pixels,
        NOW + left,
        self_test=False,
        submitted=NOW - waited,
        client=client,
        request=request,
    )


def images(count: int, **given: Any) -> list[BatchItem[None]]:
    return [image(**given) for _ in range(count)]


def taken(queue: BatchQueue[None], count: int) -> list[BatchItem[None]]:
    """The next so many; a batch has one."""
    return [one for _ in range(count) for one in queue.next_batch()]


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


def test_clients_take_turns(queue: BatchQueue[None]) -> None:
    flood, honest = images(5, client="flood"), images(2, client="honest")
    for one in flood + honest:
        queue.put(one)
    assert queue.waiting_by_client() == {"flood": 5, "honest": 2}
    assert taken(queue, 7) == [flood[0], honest[0], flood[1], honest[1], *flood[2:]]
    assert queue.waiting_by_client() == {}


def test_requests_of_a_client_take_turns(queue: BatchQueue[None]) -> None:
    many = images(3, client="a", request="many")
    alone = image(client="a")
    for one in [*many, alone]:
        queue.put(one)
    assert taken(queue, 4) == [many[0], alone, *many[1:]]


def test_a_priority_is_none_over_another_client(queue: BatchQueue[None]) -> None:
    urgent = images(3, client="a")
    for one in urgent:
        one.priority = 9
    other = image(client="b")
    for one in [*urgent, other]:
        queue.put(one)
    assert taken(queue, 4) == [urgent[0], other, *urgent[1:]]


def test_what_is_dropped_is_no_turn(queue: BatchQueue[None], drops: list[str]) -> None:
    late, later = image(client="a", left=0), image(client="a")
    others = images(2, client="b")
    cancelled = image(client="a")
    for one in [late, *others, cancelled, later]:
        queue.put(one)
    assert cancelled.future.cancel()
    assert taken(queue, 3) == [later, *others]
    assert drops == ["deadline", "cancelled"]


def test_what_is_cancelled_leaves_and_what_is_cleared_too(
    queue: BatchQueue[None], drops: list[str]
) -> None:
    first, second, third = images(3, client="a", request="one")
    pinned = image()
    pinned.worker = 0
    for one in (first, second, third, pinned):
        queue.put(one)
    assert second.future.cancel()
    queue.discard_cancelled(second)
    queue.discard_cancelled(second)
    queue.discard_cancelled(first)
    assert drops == ["cancelled"]
    assert queue.clear() == [first, third, pinned]
    assert queue.depth == 0
    assert queue.waiting_by_client() == {}


# Batches of one have 92 % of the throughput of batches of eight.
LITTLE_GAIN = BatchSizes({1: 1.0, 2: 1.9, 4: 3.75, 8: 7.4})


class Lengths:
    """How long batches are, on a clock that goes on when the test says so."""

    def __init__(self, plan: BatchSizes, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("service.batching.queue.time", clock)
        self.queue: BatchQueue[None] = BatchQueue(
            batch_sizes=plan, latency=LatencyEstimator(plan), dropped=lambda _: None
        )

    def put(self, client: str, count: int) -> None:
        for one in images(count, client=client, left=1e6):
            self.queue.put(one)

    def next(self) -> str:
        """Whose the images of the next batch are, one letter each."""
        return "".join(one.client for one in self.queue.next_batch())


def test_batches_are_short_while_a_client_waits_for_those_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = Lengths(LITTLE_GAIN, monkeypatch)
    lengths.put("a", 50)
    assert lengths.next() == "a" * 8
    lengths.put("b", 1)
    # Its own batch, and for a while those that its next image may find on the device.
    assert [lengths.next() for _ in range(3)] == ["b", "a", "a"]
    lengths.now += 0.99
    assert lengths.next() == "a"
    lengths.now += 0.02
    assert lengths.next() == "a" * 8


def test_clients_that_all_have_much_or_little_share_long_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = Lengths(LITTLE_GAIN, monkeypatch)
    lengths.put("a", 20)
    lengths.put("b", 20)
    assert lengths.next() == "abababab"
    few = Lengths(LITTLE_GAIN, monkeypatch)
    for client in "abcdefghij":
        few.put(client, 1)
    assert few.next() == "abcdefgh"


def test_batches_stay_long_where_that_brings_much(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = Lengths(BatchSizes({1: 1.0, 2: 1.1, 4: 1.2, 8: 1.3}), monkeypatch)
    lengths.put("a", 20)
    lengths.put("b", 1)
    assert lengths.next() == "abaaaaaa"


# Batches of one have 85 % of the throughput of batches of eight, batches of two 91 %.
SOME_GAIN = BatchSizes({1: 1.0, 2: 1.87, 4: 3.55, 8: 6.8})


def test_a_client_with_few_images_has_a_batch_without_those_of_one_with_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = Lengths(SOME_GAIN, monkeypatch)
    lengths.put("a", 50)
    lengths.put("b", 1)
    lengths.put("c", 1)
    # Whose turn it is decides; those that have few share a batch.
    assert [lengths.next() for _ in range(3)] == ["ab", "c", "aa"]
    lengths.put("b", 1)
    assert [lengths.next() for _ in range(2)] == ["b", "aa"]


def test_few_are_also_few_beside_what_is_decoded_as_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a client with hundreds of images only some wait for the device."""
    lengths = Lengths(SOME_GAIN, monkeypatch)
    lengths.put("a", 5)
    lengths.put("b", 1)
    assert [lengths.next() for _ in range(2)] == ["ab", "aa"]
    assert Lengths(BatchSizes({1: 1.0, 8: 1.3}), monkeypatch).queue._batch_sizes.alone == 8


def test_batches_are_short_before_the_next_image_of_a_client_with_few_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = Lengths(SOME_GAIN, monkeypatch)
    lengths.put("b", 1)
    assert lengths.next() == "b"
    lengths.put("a", 50)
    lengths.now += 0.99
    assert lengths.next() == "aa"
    lengths.now += 0.02
    assert lengths.next() == "a" * 8


def test_a_start_on_a_busy_machine_makes_no_batches_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches were measured too slow; those that ran since tell."""
    lengths = Lengths(BatchSizes({1: 4.0, 2: 5.0, 4: 6.0, 8: 8.0}), monkeypatch)
    latency = lengths.queue._latency
    lengths.put("a", 20)
    lengths.put("b", 1)
    assert lengths.next() == "abaaaaaa"
    for _ in range(100):
        latency.observe(1, 1.0)
    lengths.put("b", 1)
    assert [lengths.next() for _ in range(2)] == ["b", "a"]
    # Never longer than they were at the start.
    for _ in range(100):
        latency.observe(1, 8.0)
    assert lengths.queue._light.quick == 8


def test_clients_with_few_images_are_not_remembered_without_end(
    queue: BatchQueue[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=NOW)
    monkeypatch.setattr("service.batching.queue.time", SimpleNamespace(monotonic=lambda: clock.now))
    for number in range(100):
        queue.put(image(left=1e6, client=f"client {number}"))
        queue.next_batch()
        clock.now += SHORT_BATCHES_SECONDS / 4
    assert len(queue._light._had_few) <= 5
