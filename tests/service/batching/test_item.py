"""What waits, and who has it in hand."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np

from service.batching.item import BatchItem, Pixels, Worker, fail
from service.errors import QueueFull


def test_an_answer_is_not_taken_back() -> None:
    future: Future[int] = Future()
    future.set_result(1)
    fail(future, QueueFull("too late"))
    assert future.result() == 1


def test_images_that_look_the_same_are_two() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    one, other = (
        BatchItem[None](pixels, deadline=1.0, self_test=False, submitted=0.0) for _ in range(2)
    )
    assert one != other
    assert len({one, other}) == 2


def test_who_has_nothing_in_hand_is_not_busy_and_keeps_no_process_from_ending() -> None:
    def run(_: Pixels, __: frozenset[str]) -> list[int]:
        raise AssertionError

    worker = Worker(0, run, lambda _: None, "idle")
    assert worker.busy_seconds(now=100.0) == 0
    assert worker.thread.daemon
