"""How late a client's results were, by what was observed."""

from __future__ import annotations

import pytest

from service.batching.lateness import Lateness


def test_later_counts_by_half_and_sooner_slowly() -> None:
    lateness = Lateness()
    lateness.record("a", 100)
    assert lateness.seconds("a") == 50
    lateness.record("a", -5)
    assert lateness.seconds("a") == pytest.approx(49)
    assert lateness.seconds("b") == lateness.seconds(None) == 0


def test_what_is_forgotten_is_in_time() -> None:
    lateness = Lateness()
    for number in range(10_000):
        lateness.record(str(number), 1)
    lateness.record("0", 1)
    lateness.record("another", 1)
    assert lateness.seconds("0") == 0.75
    assert lateness.seconds("1") == 0
    assert lateness.seconds("2") == 0.5


def test_who_is_in_time_is_not_remembered() -> None:
    lateness = Lateness()
    for number in range(100):
        lateness.record(str(number), -1)
    lateness.record("once late", 0.01)
    for _ in range(1000):
        lateness.record("once late", 0)
    assert len(lateness._seconds) == 0
