"""One limit, many clients: none uses up what another needs."""

from __future__ import annotations

import pytest

from service.fairness.shared_limit import SharedLimit, room_for


def fill(limit: SharedLimit, client: str) -> int:
    taken = 0
    while limit.take(client, 1):
        taken += 1
    return taken


def test_a_client_alone_gets_all_but_an_eighth() -> None:
    assert fill(SharedLimit(256), "a") == 224


def test_a_newcomer_finds_room_whatever_one_client_holds() -> None:
    limit = SharedLimit(256)
    fill(limit, "a")
    assert limit.take("b", 32)


@pytest.mark.parametrize("clients", [2, 8, 40])
def test_a_newcomer_finds_room_whatever_many_hold(clients: int) -> None:
    limit = SharedLimit(256)
    for _ in range(256):
        for number in range(clients):
            limit.take(str(number), 1)
    assert limit.take("newcomer", 1)


def test_what_does_not_fit_takes_nothing() -> None:
    limit = SharedLimit(8)
    assert not limit.take("a", 8)
    assert (limit.used, limit.held("a")) == (0, 0)


def test_what_is_released_can_be_taken_again() -> None:
    limit = SharedLimit(16)
    assert limit.take("a", 14)
    assert not limit.take("a", 1)
    limit.release("a", 14)
    assert (limit.used, limit.held("a")) == (0, 0)
    assert limit.take("a", 14)
    with pytest.raises(ValueError, match="holds 14"):
        limit.release("a", 15)


@pytest.mark.parametrize("limit", [1, 2, 4, 7])
def test_a_small_limit_is_usable_as_a_whole(limit: int) -> None:
    assert fill(SharedLimit(limit), "a") == limit


def test_room_is_never_negative() -> None:
    assert room_for(8, used=9, held=9, clients=1) == 0


def test_the_client_with_the_most_is_named_where_it_is_above_its_share() -> None:
    limit = SharedLimit(12)
    assert limit.largest is None
    limit.take("a", 3)
    limit.take("b", 2)
    # Equal shares of three clients, one more than there are, are four.
    assert limit.largest is None
    assert limit.below_share("a")
    limit.take("a", 4)
    assert limit.largest == "a"
    assert not limit.below_share("a")
    assert limit.below_share("b")
    # As the third of four.
    assert limit.below_share("c")
