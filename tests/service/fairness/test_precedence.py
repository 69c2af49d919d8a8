"""While a client with few images is there, no work of one with many begins, for a limited time."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from service.fairness.precedence import FEW_IMAGES, MOST_HELD_SECONDS, Precedence


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def precedence(clock: Clock) -> Precedence:
    return Precedence(clock)


def test_nobody_is_held_back_alone(precedence: Precedence) -> None:
    with precedence.serving("flood", 100), precedence.serving("other", FEW_IMAGES + 1):
        assert precedence.held_seconds("flood") == 0
        assert precedence.held_seconds("other") == 0


def test_the_bulk_of_one_waits_for_another_one(precedence: Precedence) -> None:
    with precedence.serving("flood", 100):
        with precedence.serving("honest", FEW_IMAGES):
            assert precedence.held_seconds("flood") == MOST_HELD_SECONDS
            assert precedence.held_seconds("honest") == 0
            assert precedence.held_seconds("one that is not known") == 0
        assert precedence.held_seconds("flood") == 0


def test_many_requests_are_as_many_images(precedence: Precedence) -> None:
    with ExitStack() as stack:
        for _ in range(FEW_IMAGES + 1):
            stack.enter_context(precedence.serving("flood", 1))
        with precedence.serving("honest", 1):
            assert precedence.held_seconds("flood") == MOST_HELD_SECONDS
    assert precedence._images == {}


def test_a_wait_has_a_bound_and_a_pause(precedence: Precedence, clock: Clock) -> None:
    """Where clients with few images are always there, the bulk has half of the time."""
    with precedence.serving("flood", 100), precedence.serving("honest", 1):
        held = 0
        for _ in range(1000):
            clock.seconds += 0.0101
            held += precedence.held_seconds("flood") > 0
        assert held == pytest.approx(500, rel=0.05)


def test_who_waits_is_told(precedence: Precedence) -> None:
    told: list[int] = []
    precedence.observe(lambda: told.append(1))
    with precedence.serving("flood", 100):
        with precedence.serving("honest", 1):
            with precedence.serving("other", 1):
                pass
            assert not told
        assert told == [1]
    assert told == [1]
