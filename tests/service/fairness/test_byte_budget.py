"""Bytes that requests hold, shared between clients."""

from __future__ import annotations

import pytest

from service.errors import MemoryFull
from service.fairness.byte_budget import ByteBudget


def test_a_request_gives_back_what_it_took() -> None:
    budget = ByteBudget(800)
    with budget.hold("a") as held:
        held.take(300)
        held.take(400)
        assert (budget.used_bytes, budget.room("a"), budget.room("b")) == (700, 0, 100)
        held.release()
        assert budget.used_bytes == 0
        held.take(5)
    assert budget.used_bytes == 0
    held.release()


def test_it_gives_back_whatever_happens() -> None:
    budget = ByteBudget(800)

    def fail() -> None:
        with budget.hold("a") as held:
            held.take(300)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert budget.used_bytes == 0


def test_what_has_no_room_is_not_taken() -> None:
    budget = ByteBudget(800)
    with budget.hold("a") as held:
        held.take(300)
        for refused in (held.take, held.check):
            with pytest.raises(MemoryFull, match="no room for 401 bytes more") as refusal:
                refused(401)
            assert refusal.value.retry_after_seconds == 1
        assert budget.used_bytes == 300
        held.check(400)
        assert budget.used_bytes == 300


def test_requests_of_one_client_leave_room_for_another() -> None:
    budget = ByteBudget(800)
    many = [budget.hold("a") for _ in range(7)]
    for held in many:
        held.take(100)
    with pytest.raises(MemoryFull):
        budget.hold("a").take(1)
    budget.hold("b").take(100)


def test_without_a_limit() -> None:
    budget = ByteBudget()
    budget.hold("a").take(10**15)
