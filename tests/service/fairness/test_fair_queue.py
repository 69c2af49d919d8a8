"""Clients take turns, and within a client its requests."""

from __future__ import annotations

import pytest

from service.fairness.fair_queue import FairQueue, ahead_of


def filled(*groups: tuple[str, str, int]) -> FairQueue[str]:
    """groups: client, request, items."""
    queue: FairQueue[str] = FairQueue()
    for client, request, items in groups:
        for index in range(items):
            queue.put(f"{client}{request}{index}", client=client, request=request)
    return queue


def drained(queue: FairQueue[str]) -> list[str]:
    return [queue.pop() for _ in range(len(queue))]


def test_one_client_with_many_does_not_hold_up_another() -> None:
    queue = filled(("a", "x", 32), ("b", "y", 1))
    assert drained(queue)[:3] == ["ax0", "by0", "ax1"]


def test_requests_of_one_client_take_turns() -> None:
    queue = filled(("a", "x", 3), ("a", "y", 2))
    assert drained(queue) == ["ax0", "ay0", "ax1", "ay1", "ax2"]


def test_several_requests_are_no_advantage_over_another_client() -> None:
    queue = filled(*(("a", str(number), 1) for number in range(8)), ("b", "y", 3))
    assert [item[0] for item in drained(queue)][:6] == ["a", "b", "a", "b", "a", "b"]


def test_a_dear_item_costs_its_client_its_next_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for index in range(3):
        queue.put(f"dear{index}", client="a", request=1, cost=3.0)
        queue.put(f"cheap{index}", client="b", request=1, cost=1.0)
    assert drained(queue) == ["dear0", "cheap0", "cheap1", "cheap2", "dear1", "dear2"]


def test_what_an_item_really_cost_is_charged() -> None:
    queue = filled(("a", "x", 3), ("b", "y", 3))
    assert queue.pop() == "ax0"
    queue.charge("a", 2.0)
    assert drained(queue) == ["by0", "by1", "by2", "ax1", "ax2"]


def test_priority_goes_ahead_within_its_client_alone() -> None:
    queue = filled(("a", "x", 2), ("b", "y", 2))
    queue.put("urgent", client="a", request="z", priority=1)
    assert drained(queue) == ["urgent", "by0", "ax0", "by1", "ax1"]


def test_removing_and_clearing() -> None:
    queue = filled(("a", "x", 3), ("b", "y", 1))
    assert queue.remove("ax1")
    assert not queue.remove("ax1")
    assert (len(queue), queue.clients, queue.waiting("a"), queue.waiting("c")) == (3, 2, 2, 0)
    assert queue.clear() == ["ax0", "ax2", "by0"]
    assert (len(queue), queue.clients) == (0, 0)
    with pytest.raises(LookupError):
        queue.pop()


def test_an_item_waits_once() -> None:
    queue = filled(("a", "x", 1))
    with pytest.raises(ValueError, match="ax0"):
        queue.put("ax0", client="b", request="y")


@pytest.mark.parametrize("items", [1, 2, 3, 5])
def test_how_many_are_served_before_a_client_has_had_its_turns(items: int) -> None:
    queue = filled(("a", "x", 7), ("b", "y", 2), ("c", "z", 5))
    waiting = queue.waiting_by_client()
    assert waiting == {"a": 7, "b": 2, "c": 5}
    expected = ahead_of(waiting.values(), items)
    order = drained(queue)
    last = [index for index, item in enumerate(order) if item.startswith("c")][items - 1]
    # Of the others with as many turns, each may come before or after the last one.
    assert last + 1 <= expected <= last + 1 + 2


def test_the_fewest_and_the_most_items_of_one_client() -> None:
    queue: FairQueue[str] = FairQueue()
    assert queue.fewest_and_most == (0, 0)
    for item in ("a1", "a2", "a3", "b1"):
        queue.put(item, client=item[0], request=item)
    assert queue.fewest_and_most == (1, 3)
    queue.remove("b1")
    assert queue.fewest_and_most == (3, 3)


def test_a_client_that_may_not_be_served_is_passed_over() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "b1", "c1"):
        queue.put(item, client=item[0], request="one")
    assert queue.first_client(lambda _: False) is None
    assert queue.first_client(lambda client: client != "a") == "b"
    assert queue.pop("b") == "b1"
    assert [queue.pop() for _ in range(3)] == ["a1", "c1", "a2"]
