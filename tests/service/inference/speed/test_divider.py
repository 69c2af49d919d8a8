"""Models are divided while they serve; one that can't be stays as it is, and says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import pytest

from model_builder.errors import InvalidArtifact
from service.inference.model import Model
from service.inference.speed import divider as module
from service.inference.speed.divider import Divider
from tests.service.fakes import WAIT_SECONDS, eventually


class FakeModel:
    """divide: what it does; by default it succeeds at once."""

    def __init__(self, name: str, divide: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.divided = False
        self.begun = threading.Event()
        self._divide = divide

    @property
    def batches_at_once(self) -> int:
        return 2 if self.divided else 1

    def divide(self) -> None:
        self.begun.set()
        self._divide()
        self.divided = True


def started(*models: FakeModel) -> Divider:
    divider = Divider()
    divider.start(cast(list[Model], models))
    return divider


def test_every_model_is_divided(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    models = FakeModel("first"), FakeModel("second")
    divider = started(*models)
    eventually(lambda: all(model.divided for model in models))
    assert divider.stop(WAIT_SECONDS)
    assert "first runs 2 batches at the same time from now on" in caplog.text
    assert "second runs 2 batches" in caplog.text


@pytest.mark.parametrize("error", [InvalidArtifact("no memory"), MemoryError("no memory")])
def test_one_that_fails_fails_alone(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise error

    models = FakeModel("first", fails), FakeModel("second")
    divider = started(*models)
    eventually(lambda: models[1].divided)
    assert divider.stop(WAIT_SECONDS)
    assert not models[0].divided
    assert [record.getMessage() for record in caplog.records] == [
        f"first goes on with one batch at a time: {type(error).__name__}: no memory"
    ]


def test_one_that_takes_long_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()
    model = FakeModel("slow", lambda: eventually(go.is_set))
    divider = started(model)
    assert model.begun.wait(WAIT_SECONDS)
    divider.check()
    assert not caplog.records
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.0)

    def reported() -> bool:
        divider.check()
        return bool(caplog.records)

    eventually(reported)
    divider.check()
    assert len(caplog.records) == 1
    assert "slow: dividing the CPU among its batches takes more than" in caplog.text
    go.set()
    assert divider.stop(WAIT_SECONDS)


def test_a_shutdown_in_the_middle_waits_for_it_and_begins_no_other() -> None:
    go = threading.Event()
    models = FakeModel("first", lambda: eventually(go.is_set)), FakeModel("second")
    divider = started(*models)
    assert models[0].begun.wait(WAIT_SECONDS)
    # Not over in time: the caller is told.
    assert not divider.stop(0.0)
    go.set()
    assert divider.stop(WAIT_SECONDS)
    assert models[0].divided
    assert not models[1].begun.is_set()


def test_nothing_is_begun_after_a_shutdown() -> None:
    model, divider = FakeModel("late"), Divider()
    assert divider.stop(0.0)
    divider.start(cast(list[Model], [model]))
    assert divider.stop(WAIT_SECONDS)
    assert not model.begun.is_set()


def test_one_that_has_nothing_to_divide_is_left_alone() -> None:
    model = FakeModel("whole")
    model.divided = True
    assert started(model).stop(0.0)
    assert not model.begun.is_set()
