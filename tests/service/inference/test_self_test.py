"""The self-test: sent through the queue of every worker, waited for, judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from model_builder.artifact.head import softmax
from service.batching.batch_sizes import BatchSizes
from service.batching.batcher import Batcher
from service.batching.item import Pixels
from service.inference.outputs import BatchOutput, RowOutput
from service.inference.self_test import SelfTest
from tests.service.fakes import WAIT_SECONDS, Recorder, eventually

EXPECTED = 0.9
IMAGE = np.full((2, 2, 3), 7, np.uint8)


class Device:
    """Its first logit is `answer` for every image, the second 0."""

    def __init__(self) -> None:
        self.answer: float = EXPECTED
        self.failure: Exception | None = None

    def __call__(self, pixels: Pixels, _: frozenset[str] = frozenset()) -> BatchOutput:
        if self.failure is not None:
            raise self.failure
        logits = np.array([[self.answer, 0.0]] * len(pixels), np.float32)
        return BatchOutput(logits, logits, None)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def batcher(device: Device) -> Iterator[Batcher[RowOutput]]:
    batcher = Batcher([device], batch_sizes=BatchSizes({1: 0.001}), observer=Recorder())
    yield batcher
    batcher.close(WAIT_SECONDS)


@pytest.fixture
def observed() -> Recorder:
    return Recorder()


@pytest.fixture
def self_test(batcher: Batcher[RowOutput], observed: Recorder) -> SelfTest:
    return make(batcher, observed)


def make(batcher: Batcher[RowOutput], observed: Recorder, workers: int = 1) -> SelfTest:
    expected = np.array([EXPECTED, 0.0], np.float32)
    return SelfTest(batcher, IMAGE, expected, workers=workers, observe=observed.self_test_done)


def look_until(self_test: SelfTest, condition: Callable[[], bool]) -> None:
    def looked() -> bool:
        self_test.poll(interval_seconds=0, stuck_timeout_seconds=WAIT_SECONDS)
        return condition()

    eventually(looked)


# The spread of the expected logits is half of 0.9.
@pytest.mark.parametrize("answer", [0.9, 0.944])
def test_right_within_what_another_batch_size_changes(
    self_test: SelfTest,
    batcher: Batcher[RowOutput],
    device: Device,
    observed: Recorder,
    caplog: pytest.LogCaptureFixture,
    answer: float,
) -> None:
    batcher.start()
    device.answer = answer
    caplog.set_level("INFO")
    look_until(self_test, lambda: observed.self_tests["right"] == 2)
    assert self_test.problems() == []
    assert set(observed.self_tests) == {"right"}
    assert caplog.text == ""


@pytest.mark.parametrize(("answer", "off_by"), [(0.5, "0.889"), (0.95, "0.111"), (-0.9, "4")])
def test_wrong_until_it_is_right_again(
    self_test: SelfTest,
    batcher: Batcher[RowOutput],
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
    problem = f"the logits differ by {off_by} of their standard deviation"
    assert self_test.problems() == [problem]
    device.answer = EXPECTED
    look_until(self_test, lambda: observed.self_tests["right"] == 2)
    assert self_test.problems() == []
    assert [record.getMessage() for record in caplog.records] == [
        f"A self-test failed: {problem}",
        "The self-test is right again",
    ]


def test_a_device_that_raises(
    self_test: SelfTest, batcher: Batcher[RowOutput], device: Device, observed: Recorder
) -> None:
    batcher.start()
    device.failure = RuntimeError("no more")
    look_until(self_test, lambda: observed.self_tests["failed"] == 1)
    assert self_test.problems() == ["Inference failed."]


def test_one_that_nobody_answers_is_late_once(
    self_test: SelfTest, batcher: Batcher[RowOutput], observed: Recorder
) -> None:
    for _ in range(3):
        self_test.poll(interval_seconds=0, stuck_timeout_seconds=0)
        time.sleep(0.001)
    assert self_test.problems() == ["no answer within 0.0 s"]
    assert observed.self_tests == {"late": 1}
    batcher.start()
    look_until(self_test, lambda: observed.self_tests["right"] == 1)
    assert self_test.problems() == []


def test_one_that_is_out_is_waited_for(
    self_test: SelfTest, batcher: Batcher[RowOutput], observed: Recorder
) -> None:
    for _ in range(3):
        self_test.poll(interval_seconds=0, stuck_timeout_seconds=3600)
    assert self_test.problems() == []
    assert not observed.self_tests
    batcher.start()
    look_until(self_test, lambda: observed.self_tests["right"] == 1)


def test_it_goes_ahead_of_what_waits(
    self_test: SelfTest, batcher: Batcher[RowOutput], observed: Recorder
) -> None:
    """It asks whether the device works, not whether there is room."""
    waiting = [batcher.submit(IMAGE, deadline=float("inf")) for _ in range(3)]
    self_test.poll(interval_seconds=0, stuck_timeout_seconds=3600)
    waiting[0].add_done_callback(
        lambda _: self_test.poll(interval_seconds=0, stuck_timeout_seconds=3600)
    )
    batcher.start()
    waiting[0].result(WAIT_SECONDS)
    assert observed.self_tests["right"] == 1


@pytest.mark.parametrize("answer", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_is_wrong(
    self_test: SelfTest,
    batcher: Batcher[RowOutput],
    device: Device,
    observed: Recorder,
    answer: float,
) -> None:
    batcher.start()
    device.answer = answer
    look_until(self_test, lambda: observed.self_tests["wrong"] == 1)
    assert self_test.problems() == ["Inference failed: the network's output is not finite."]


def test_a_flat_softmax_does_not_hide_a_wrong_device(observed: Recorder) -> None:
    """Probabilities differ by less than 0.001, and still the order of the classes is another."""
    expected = np.linspace(0, 0.01, 1000, dtype=np.float32)

    def reversed_logits(pixels: Pixels, _: frozenset[str]) -> BatchOutput:
        logits = np.stack([expected[::-1]] * len(pixels))
        return BatchOutput(logits, logits, None)

    assert abs(softmax(expected) - softmax(expected[::-1])).max() < 0.001
    batcher = Batcher([reversed_logits], batch_sizes=BatchSizes({1: 0.001}), observer=Recorder())
    test = SelfTest(batcher, IMAGE, expected, workers=1, observe=observed.self_test_done)
    batcher.start()
    look_until(test, lambda: observed.self_tests["wrong"] == 1)
    assert batcher.close(WAIT_SECONDS)


def test_every_worker_is_tested_and_one_that_is_always_wrong_stays_a_problem(
    observed: Recorder,
) -> None:
    right, wrong = Device(), Device()
    wrong.answer = 5.0
    batcher = Batcher([right, wrong], batch_sizes=BatchSizes({1: 0.001}), observer=Recorder())
    test = make(batcher, observed, workers=2)
    batcher.start()
    look_until(test, lambda: observed.self_tests["wrong"] >= 3 <= observed.self_tests["right"])
    (problem,) = test.problems()
    assert problem.startswith("worker 1: the logits differ by")
    wrong.answer = EXPECTED
    look_until(test, lambda: not test.problems())
    assert batcher.close(WAIT_SECONDS)


def test_a_queue_that_takes_none(
    self_test: SelfTest, batcher: Batcher[RowOutput], observed: Recorder
) -> None:
    batcher.close(WAIT_SECONDS)
    self_test.poll(interval_seconds=0, stuck_timeout_seconds=3600)
    assert observed.self_tests == {"failed": 1}
    assert self_test.problems()


def test_none_is_sent_before_its_time(self_test: SelfTest, batcher: Batcher[RowOutput]) -> None:
    self_test.poll(interval_seconds=3600, stuck_timeout_seconds=0)
    assert batcher.depth == 0
