"""The canary: sent through the queue, waited for, judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from service.batching.batch_sizes import BatchSizes
from service.batching.batcher import Batcher
from service.batching.item import Array, Pixels
from service.inference.self_test import SelfTest
from tests.service.fakes import WAIT_SECONDS, Recorder, eventually

IMAGE = np.full((2, 2, 3), 7, np.uint8)


class Device:
    """Its answer to every image is `answer`."""

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
    batcher = Batcher([device], plan=BatchSizes({1: 0.001}), queue_limit=1, observer=Recorder())
    yield batcher
    batcher.close(WAIT_SECONDS)


@pytest.fixture
def observed() -> Recorder:
    return Recorder()


@pytest.fixture
def self_test(batcher: Batcher, observed: Recorder) -> SelfTest:
    return SelfTest(batcher, IMAGE, np.array([0.9], np.float32), observe=observed.self_test_done)


def look_until(self_test: SelfTest, condition: Callable[[], bool]) -> None:
    def looked() -> bool:
        self_test.poll(interval_seconds=0, stuck_timeout_seconds=WAIT_SECONDS)
        return condition()

    eventually(looked)


@pytest.mark.parametrize("answer", [0.9, 0.94])
def test_right_within_what_another_batch_size_changes(
    self_test: SelfTest,
    batcher: Batcher,
    device: Device,
    observed: Recorder,
    caplog: pytest.LogCaptureFixture,
    answer: float,
) -> None:
    batcher.start()
    device.answer = answer
    caplog.set_level("INFO")
    look_until(self_test, lambda: observed.self_tests["right"] == 2)
    assert self_test.problem is None
    assert set(observed.self_tests) == {"right"}
    assert caplog.text == ""


@pytest.mark.parametrize(("answer", "off_by"), [(0.5, "0.4"), (float("nan"), "nan")])
def test_wrong_until_it_is_right_again(
    self_test: SelfTest,
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
    look_until(self_test, lambda: observed.self_tests["wrong"] == 3)
    assert self_test.problem == f"the answer is off by {off_by}"
    device.answer = 0.9
    look_until(self_test, lambda: observed.self_tests["right"] == 2)
    assert self_test.problem is None
    assert [record.getMessage() for record in caplog.records] == [
        f"A canary went wrong: the answer is off by {off_by}",
        "The canary is answered rightly again",
    ]


def test_a_device_that_raises(
    self_test: SelfTest, batcher: Batcher, device: Device, observed: Recorder
) -> None:
    batcher.start()
    device.failure = RuntimeError("no more")
    look_until(self_test, lambda: observed.self_tests["failed"] == 1)
    assert self_test.problem == "Inference failed."


def test_one_that_nobody_answers_is_late_once(
    self_test: SelfTest, batcher: Batcher, observed: Recorder
) -> None:
    for _ in range(3):
        self_test.poll(interval_seconds=0, stuck_timeout_seconds=0)
        time.sleep(0.001)
    assert self_test.problem == "no answer within 0.0 s"
    assert observed.self_tests == {"late": 1}
    batcher.start()
    look_until(self_test, lambda: observed.self_tests["right"] == 1)
    assert self_test.problem is None


def test_one_that_is_out_is_waited_for(
    self_test: SelfTest, batcher: Batcher, observed: Recorder
) -> None:
    for _ in range(3):
        self_test.poll(interval_seconds=0, stuck_timeout_seconds=3600)
    assert batcher.depth == 1
    assert self_test.problem is None
    assert not observed.self_tests


def test_a_full_queue_takes_it_too(
    self_test: SelfTest, batcher: Batcher, observed: Recorder
) -> None:
    """It asks whether the device is well, and not whether there is room."""
    batcher.submit(IMAGE, deadline=float("inf"))
    self_test.poll(interval_seconds=0, stuck_timeout_seconds=3600)
    assert batcher.depth == 2
    assert self_test.problem is None
    batcher.start()
    look_until(self_test, lambda: observed.self_tests["right"] == 1)


def test_a_queue_that_takes_none(self_test: SelfTest, batcher: Batcher, observed: Recorder) -> None:
    batcher.close(WAIT_SECONDS)
    self_test.poll(interval_seconds=0, stuck_timeout_seconds=3600)
    assert observed.self_tests == {"failed": 1}
    assert self_test.problem is not None


def test_none_is_sent_before_its_time(self_test: SelfTest, batcher: Batcher) -> None:
    self_test.poll(interval_seconds=3600, stuck_timeout_seconds=0)
    assert batcher.depth == 0
