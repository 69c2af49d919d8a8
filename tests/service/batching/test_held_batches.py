"""A batch of a client with many images waits for an image of one with few that is decoded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.batching.batch_sizes import BatchSizes
from service.batching.queue import MOST_HELD_SECONDS
from tests.service.batching.test_queue import LITTLE_GAIN, Lengths


class Held(Lengths):
    """waits: how long each wait for a change of the queue was to be. changed: called in each."""

    def __init__(self, plan: BatchSizes, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(plan, monkeypatch)
        self.waits: list[float] = []
        self.changed: Callable[[], object] = lambda: None
        monkeypatch.setattr(self.queue._changed, "wait", self._wait)

    def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += max(0.001, seconds / 2)
        self.changed()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Eight images of "a" wait, which had a batch."""
    held = Held(LITTLE_GAIN, monkeypatch)
    held.put("a", 16)
    held.next()
    return held


def test_the_image_that_comes_goes_first(held: Held) -> None:
    def come() -> None:
        held.queue.coming["b"] -= 1
        held.put("b", 1)

    held.queue.coming["b"] = 1
    held.changed = come
    assert held.next() == "b"
    assert held.waits == [pytest.approx(MOST_HELD_SECONDS)]


def test_a_batch_does_not_wait_for_longer(held: Held) -> None:
    held.queue.coming["b"] = 1
    began = held.now
    assert held.next()[0] == "a"
    assert MOST_HELD_SECONDS <= held.now - began <= MOST_HELD_SECONDS + 0.001


def test_a_batch_does_not_wait_longer_than_the_smallest_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = Held(BatchSizes({1: 0.001, 8: 0.0079}), monkeypatch)
    held.put("a", 20)
    held.queue.coming["b"] = 1
    held.changed = lambda: setattr(held, "now", held.now + 1)
    held.next()
    assert held.waits == [pytest.approx(0.001)]


def test_an_image_that_is_given_up_is_not_waited_for(held: Held) -> None:
    held.queue.coming["b"] = 1
    held.changed = lambda: held.queue.coming.pop("b")
    assert held.next()[0] == "a"
    assert len(held.waits) == 1


@pytest.mark.parametrize("client", ["a", "c"])
def test_nothing_waits_for_a_client_with_many(held: Held, client: str) -> None:
    held.queue.coming[client] = 1 if client == "a" else 30
    assert held.next() == "a" * 8
    assert held.waits == []


def test_nothing_waits_where_one_with_few_is_there(held: Held) -> None:
    held.put("b", 1)
    held.queue.coming["c"] = 1
    assert held.next()
    assert held.waits == []


def test_nothing_waits_once_the_queue_is_closed(held: Held) -> None:
    held.queue.coming["b"] = 1
    held.queue.close()
    assert held.next()
    assert held.waits == []
