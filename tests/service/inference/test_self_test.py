"""The canary: sent through the queue, waited for, judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from service.batching.batch_sizes import BatchPlan
from service.batching.batcher import Batcher
from service.batching.item import Array, Pixels
from service.inference.self_test import Canary
from tests.service.fakes import WAIT_SECONDS, Recorder, eventually

PICTURE = np.full((2, 2, 3), 7, np.uint8)


class Device:
    """Its answer to every picture is `answer`."""

    def __init__(self) -> None:
        self.answer: float = 0.9
        self.failure: Exception | None = None

    def __call__(self, pixels: Pixels) -> Array:
        if self.failure is not None:
            raise self.failure
        return np.full((len(pixels), 1), self.answer, np.float32)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def batcher(device: Device) -> Iterator[Batcher]:
    batcher = Batcher([device], plan=BatchPlan({1: 0.001}), queue_limit=1, observer=Recorder())
    yield batcher
    batcher.close(WAIT_SECONDS)


@pytest.fixture
def observed() -> Recorder:
    return Recorder()


@pytest.fixture
def canary(batcher: Batcher, observed: Recorder) -> Canary:
    return Canary(batcher, PICTURE, np.array([0.9], np.float32), observe=observed.canary_done)


def look_until(canary: Canary, condition: Callable[[], bool]) -> None:
    def looked() -> bool:
        canary.look(interval_seconds=0, patience_seconds=WAIT_SECONDS)
        return condition()

    eventually(looked)


@pytest.mark.parametrize("answer", [0.9, 0.94])
def test_right_within_what_another_batch_size_changes(
    canary: Canary,
    batcher: Batcher,
    device: Device,
    observed: Recorder,
    caplog: pytest.LogCaptureFixture,
    answer: float,
) -> None:
    batcher.start()
    device.answer = answer
    caplog.set_level("INFO")
    look_until(canary, lambda: observed.canaries["right"] == 2)
    assert canary.problem is None
    assert set(observed.canaries) == {"right"}
    assert caplog.text == ""


@pytest.mark.parametrize(("answer", "off_by"), [(0.5, "0.4"), (float("nan"), "nan")])
def test_wrong_until_it_is_right_again(
    canary: Canary,
    batcher: Batcher,
    device: Device,
    observed: Recorder,
    caplog: pytest.LogCaptureFixture,
    answer: float,
    off_by: str,
) -> None:
    """Each is said once in the log, however long it lasts."""
    caplog.set_level("INFO")
    batcher.start()
    device.answer = answer
    look_until(canary, lambda: observed.canaries["wrong"] == 3)
    assert canary.problem == f"the answer is off by {off_by}"
    device.answer = 0.9
    look_until(canary, lambda: observed.canaries["right"] == 2)
    assert canary.problem is None
    assert [record.getMessage() for record in caplog.records] == [
        f"A canary went wrong: the answer is off by {off_by}",
        "The canary is answered rightly again",
    ]


def test_a_device_that_raises(
    canary: Canary, batcher: Batcher, device: Device, observed: Recorder
) -> None:
    batcher.start()
    device.failure = RuntimeError("no more")
    look_until(canary, lambda: observed.canaries["failed"] == 1)
    assert canary.problem == "Inference failed."


def test_one_that_nobody_answers_is_late_once(
    canary: Canary, batcher: Batcher, observed: Recorder
) -> None:
    for _ in range(3):
        canary.look(interval_seconds=0, patience_seconds=0)
        time.sleep(0.001)
    assert canary.problem == "no answer within 0.0 s"
    assert observed.canaries == {"late": 1}
    batcher.start()
    look_until(canary, lambda: observed.canaries["right"] == 1)
    assert canary.problem is None


def test_one_that_is_out_is_waited_for(
    canary: Canary, batcher: Batcher, observed: Recorder
) -> None:
    for _ in range(3):
        canary.look(interval_seconds=0, patience_seconds=3600)
    assert batcher.depth == 1
    assert canary.problem is None
    assert not observed.canaries


def test_a_full_queue_takes_it_too(canary: Canary, batcher: Batcher, observed: Recorder) -> None:
    """It asks whether the device is well, and not whether there is room."""
    batcher.submit(PICTURE, deadline=float("inf"))
    canary.look(interval_seconds=0, patience_seconds=3600)
    assert batcher.depth == 2
    assert canary.problem is None
    batcher.start()
    look_until(canary, lambda: observed.canaries["right"] == 1)


def test_a_queue_that_takes_none(canary: Canary, batcher: Batcher, observed: Recorder) -> None:
    batcher.close(WAIT_SECONDS)
    canary.look(interval_seconds=0, patience_seconds=3600)
    assert observed.canaries == {"failed": 1}
    assert canary.problem is not None


def test_none_is_sent_before_its_time(canary: Canary, batcher: Batcher) -> None:
    canary.look(interval_seconds=3600, patience_seconds=0)
    assert batcher.depth == 0
