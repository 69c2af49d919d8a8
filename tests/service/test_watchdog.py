"""When the watchdog hands back what a load took: once it is over, and not before."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service import watchdog
from service.registry import Registry
from service.watchdog import RESTED_SECONDS, Watchdog

LOOK = RESTED_SECONDS / 4


@dataclass
class Busy:
    """A model that has so many pictures waiting, and batches of four."""

    queue_depth: int = 0
    plan: Any = field(default_factory=lambda: SimpleNamespace(largest=4))

    def look_after(self, canary_interval_seconds: float) -> None:
        """Needs nothing."""


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    times: list[str] = []
    monkeypatch.setattr(watchdog, "give_back", lambda: times.append("once"))
    return times


def looks(model: Busy, depths: list[int], dog: Watchdog) -> None:
    for depth in depths:
        model.queue_depth = depth
        dog._look(LOOK)


@pytest.fixture
def model() -> Busy:
    return Busy()


@pytest.fixture
def dog(model: Busy) -> Watchdog:
    registry = cast(Registry, SimpleNamespace(models=(model,), trouble=list))
    return Watchdog(registry, canary_interval_seconds=0, exit_seconds=0, on_lost=lambda _: None)


def test_once_after_a_load(model: Busy, dog: Watchdog, given_back: list[str]) -> None:
    looks(model, [5, 0, 0, 0], dog)
    assert not given_back
    looks(model, [0] * 10, dog)
    assert given_back == ["once"]


def test_not_between_two_pictures_of_one(model: Busy, dog: Watchdog, given_back: list[str]) -> None:
    looks(model, [9, 0, 0, 0, 1, 0, 0, 0, 1], dog)
    assert not given_back
    looks(model, [0, 0, 0, 0], dog)
    assert given_back == ["once"]


def test_not_for_what_a_batch_can_take(model: Busy, dog: Watchdog, given_back: list[str]) -> None:
    looks(model, [4, 4, *[0] * 10], dog)
    assert not given_back
