"""What the watchdog does at its looks, on a clock that the test turns."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.inference import watchdog
from service.inference.repository import ModelRepository
from service.inference.watchdog import Watchdog
from tests.service.fakes import WAIT_SECONDS

LOOK = 0.5


@dataclass
class Busy:
    """A model with waiting images and batches of four."""

    queue_depth: int = 0
    batch_sizes: Any = field(default_factory=lambda: SimpleNamespace(largest=4))
    looked_after: list[float] = field(default_factory=list)
    failure: Exception | None = None

    def check_health(self, self_test_interval_seconds: float) -> None:
        self.looked_after.append(self_test_interval_seconds)
        if self.failure is not None:
            raise self.failure


class Clock:
    """Stands in for `time` and the event that ends polling: each poll is later by one value."""

    def __init__(self, *passed_seconds: float) -> None:
        self.now = 1000.0
        self._left = list(passed_seconds)

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout_seconds: float) -> bool:
        assert timeout_seconds == LOOK
        if self._left:
            self.now += self._left.pop(0)
            return False
        return True

    def set(self) -> None:
        self._left.clear()


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    times: list[str] = []
    monkeypatch.setattr(watchdog, "trim_memory", lambda: times.append("once"))
    return times


def looks(model: Busy, depths: list[int], dog: Watchdog) -> None:
    for depth in depths:
        model.queue_depth = depth
        dog._poll(LOOK)


@pytest.fixture
def model() -> Busy:
    return Busy()


@pytest.fixture
def unrecoverable_problems() -> list[str]:
    return []


@pytest.fixture
def lost() -> list[str]:
    return []


def make(
    model: Busy,
    unrecoverable_problems: list[str],
    lost: list[str],
    exit_seconds: float,
    held_bytes: Callable[[], int] = lambda: 0,
) -> Watchdog:
    registry = cast(
        ModelRepository,
        SimpleNamespace(
            models=(model,), unrecoverable_problems=lambda: list(unrecoverable_problems)
        ),
    )
    return Watchdog(
        registry,
        self_test_interval_seconds=7,
        exit_seconds=exit_seconds,
        on_lost=lost.append,
        held_bytes=held_bytes,
    )


@pytest.fixture
def dog(model: Busy) -> Watchdog:
    return make(model, [], [], 0)


def test_once_after_a_load(model: Busy, dog: Watchdog, given_back: list[str]) -> None:
    looks(model, [5, 0, 0, 0], dog)
    assert not given_back
    looks(model, [0] * 10, dog)
    assert given_back == ["once"]


def test_not_between_two_images_of_one(model: Busy, dog: Watchdog, given_back: list[str]) -> None:
    looks(model, [9, 0, 0, 0, 1, 0, 0, 0, 1], dog)
    assert not given_back
    looks(model, [0, 0, 0, 0], dog)
    assert given_back == ["once"]


def test_not_for_what_a_batch_can_take(model: Busy, dog: Watchdog, given_back: list[str]) -> None:
    looks(model, [4, 4, *[0] * 10], dog)
    assert not given_back


def test_once_after_large_bodies(model: Busy, given_back: list[str]) -> None:
    """What the queue never saw: uploads that were given up, or refused."""
    held = {"bytes": 0}
    dog = make(model, [], [], 0, held_bytes=lambda: held["bytes"])
    for held["bytes"] in (watchdog.LARGE_BYTES + 1, *[watchdog.LARGE_BYTES] * 3):
        looks(model, [0], dog)
    assert not given_back
    looks(model, [0] * 10, dog)
    assert given_back == ["once"]


def watch(dog: Watchdog, monkeypatch: pytest.MonkeyPatch, *passed_seconds: float) -> None:
    clock = Clock(*passed_seconds)
    monkeypatch.setattr(watchdog, "time", clock)
    monkeypatch.setattr(dog, "_stop", clock)
    dog._watch()


def test_given_up_after_so_long_without_a_break(
    model: Busy, unrecoverable_problems: list[str], lost: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = make(model, unrecoverable_problems, lost, 2)
    unrecoverable_problems[:] = ["its worker died", "its self-test is late"]
    watch(dog, monkeypatch, LOOK, LOOK, LOOK)
    unrecoverable_problems.clear()
    watch(dog, monkeypatch, LOOK)
    unrecoverable_problems[:] = ["its self-test is late"]
    watch(dog, monkeypatch, LOOK, LOOK, LOOK)
    assert lost == []
    watch(dog, monkeypatch, LOOK)
    assert lost == ["its self-test is late"]


def test_all_that_is_wrong_is_named_once(
    model: Busy, unrecoverable_problems: list[str], lost: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unrecoverable_problems[:] = ["its worker died", "its self-test is late"]
    watch(make(model, unrecoverable_problems, lost, 1), monkeypatch, *[LOOK] * 9)
    assert len(model.looked_after) == 2
    assert lost == ["its worker died; its self-test is late"]


def test_never_given_up_where_that_is_not_wanted(
    model: Busy, unrecoverable_problems: list[str], lost: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unrecoverable_problems.append("its worker died")
    watch(make(model, unrecoverable_problems, lost, 0), monkeypatch, *[LOOK] * 1000)
    assert lost == []


def test_a_late_poll_does_not_count(
    model: Busy, unrecoverable_problems: list[str], lost: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process or its machine was stopped: that time counts as neither healthy nor unhealthy."""
    unrecoverable_problems.append("its self-test is late")
    dog = make(model, unrecoverable_problems, lost, 4)
    watch(dog, monkeypatch, 3.1, 3600.0, 2.9, LOOK, 3.1)
    assert lost == []
    assert model.looked_after == [7, 7]
    watch(dog, monkeypatch, LOOK, LOOK)
    assert lost == ["its self-test is late"]


def test_a_look_that_fails_is_not_the_last(
    model: Busy, dog: Watchdog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model.failure = RuntimeError("no more")
    watch(dog, monkeypatch, LOOK, LOOK)
    assert len(model.looked_after) == 2
    assert "The watchdog's poll failed" in caplog.text
    assert "no more" in caplog.text


def test_a_process_that_ends_does_not_wait_for_it() -> None:
    script = """
from service.inference.repository import ModelRepository
from service.inference.watchdog import Watchdog
registry = ModelRepository([], None)
Watchdog(registry, self_test_interval_seconds=0, exit_seconds=0, on_lost=print).start()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, timeout=WAIT_SECONDS
    )
