"""Images a second for each client, by a clock of the test's own."""

from __future__ import annotations

import pytest

from service.auth.rate_limit import RateLimit
from service.errors import RateLimited


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(limit: RateLimit, client: str = "a", images: int = 1) -> float:
    """0, or after how many seconds it may be tried again."""
    if wait := limit.take(client):
        return wait
    try:
        limit.take_for_images(client, images)
    except RateLimited as error:
        return error.retry_after_seconds or 0
    return 0


def test_a_request_counts_as_many_as_it_has_images(clock: Clock) -> None:
    limit = RateLimit(1, 40, clock)
    assert taken(limit, images=32) == 0
    assert [taken(limit) for _ in range(9)] == [0] * 8 + [1]


def test_a_request_above_the_burst_is_possible_and_paid_before_the_next(clock: Clock) -> None:
    limit = RateLimit(1, 20, clock)
    assert taken(limit, images=32) == 0
    # Twelve are owed, and a request needs one.
    assert taken(limit) == 13
    clock.now += 12
    assert taken(limit) == 1
    clock.now += 1
    assert taken(limit) == 0
    # From now on what is on average sent is what is allowed.
    clock.now += 1
    assert taken(limit, images=32) == 0
    assert taken(limit) == 32


def test_of_requests_at_the_same_time_one_makes_a_debt_and_the_others_wait(clock: Clock) -> None:
    limit = RateLimit(1, 20, clock)
    assert [limit.take("a") for _ in range(20)] == [0] * 20
    limit.take_for_images("a", 32)
    for _ in range(19):
        with pytest.raises(RateLimited, match=r"a has sent too many images. .* in 32.0 s"):
            limit.take_for_images("a", 32)
