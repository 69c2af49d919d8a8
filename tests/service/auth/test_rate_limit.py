"""Rate limits, one bucket of tokens a client."""

from __future__ import annotations

import pytest

from service.auth.rate_limit import RateLimit
from tests.service.auth.clock import Clock


def test_a_burst_empties_a_bucket_and_time_fills_it() -> None:
    clock = Clock()
    limit = RateLimit(2, 3, clock)
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.take("b") == 0
    clock.now += 0.25
    assert limit.take("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert limit.take("a") == 0
    clock.now += 3600
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_ten_thousand_clients_are_remembered_and_no_more() -> None:
    limit = RateLimit(1, 1, Clock())
    for number in range(10_001):
        assert limit.take(str(number)) == 0
    assert limit.take("1") == 1
    assert limit.take("10000") == 1
    assert limit.take("0") == 0
