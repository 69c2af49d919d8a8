"""Who gets the next turn, by the cost served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.fairness.turns import Turns


def waiting(*keys: str) -> Turns[str]:
    turns: Turns[str] = Turns()
    for key in keys:
        turns.join(key)
    return turns


def served(turns: Turns[str], costs: dict[str, float], total: float) -> Counter[str]:
    """The cost that each key was served, all of them waiting all the time."""
    result: Counter[str] = Counter()
    while sum(result.values()) < total:
        key = turns.next()
        turns.serve(key, costs[key])
        result[key] += costs[key]  # type: ignore[assignment]
    return result


def order(turns: Turns[str], count: int) -> str:
    """The keys of the next turns, each of the same cost."""
    found = ""
    for _ in range(count):
        found += turns.next()
        turns.serve(found[-1], 1.0)
    return found


def test_keys_share_by_cost_and_not_by_number() -> None:
    costs = {"dear": 10.0, "cheap": 1.0, "other": 1.0}
    result = served(waiting(*costs), costs, 300.0)
    assert max(result.values()) - min(result.values()) <= 10


def test_a_key_alone_gets_every_turn() -> None:
    assert served(waiting("one"), {"one": 3.0}, 30.0) == {"one": 30.0}


def test_an_idle_key_saves_nothing_up() -> None:
    turns = waiting("busy")
    served(turns, {"busy": 1.0}, 100.0)
    turns.join("late")
    assert served(turns, {"busy": 1.0, "late": 1.0}, 10.0) == {"busy": 5.0, "late": 5.0}


def test_what_is_charged_later_is_owed() -> None:
    turns = waiting("a", "b")
    turns.serve("a", 1.0)
    turns.charge("a", 4.0)
    assert served(turns, {"a": 1.0, "b": 1.0}, 5.0) == {"b": 5.0}


def test_a_correction_never_gives_credit() -> None:
    turns = waiting("a", "b")
    turns.serve("a", 1.0)
    turns.charge("a", -100.0)
    assert served(turns, {"a": 1.0, "b": 1.0}, 10.0) == {"a": 5.0, "b": 5.0}


def test_who_left_and_owes_pays_while_others_wait() -> None:
    turns = waiting("a", "b")
    turns.serve("a", 3.0)
    turns.leave("a")
    turns.join("a")
    turns.leave("a")
    assert order(turns, 1) == "b"
    turns.join("a")
    assert order(turns, 4) == "bbba"


def test_who_leaves_may_be_charged_still() -> None:
    turns = waiting("a", "b")
    turns.serve("a", 1.0)
    turns.leave("a")
    turns.charge("a", 2.0)
    assert order(turns, 1) == "b"
    turns.join("a")
    assert order(turns, 4) == "bbba"


def test_nobody_owes_anything_once_none_waits() -> None:
    turns = waiting("a")
    turns.serve("a", 5.0)
    turns.leave("a")
    turns.charge("a", 5.0)
    for key in "ab":
        turns.join(key)
    assert order(turns, 3) == "aba"


def test_of_equals_the_first_that_came_goes_first() -> None:
    turns = waiting("c", "a", "b")
    assert order(turns, 6) == "cabcab"


def test_a_higher_priority_goes_first_whatever_it_was_served() -> None:
    turns = waiting("a")
    turns.join("b", priority=1)
    assert order(turns, 3) == "bbb"
    turns.leave("b")
    assert order(turns, 1) == "a"


def test_where_none_waits_it_is_nobodys_turn() -> None:
    turns = waiting("a")
    turns.leave("a")
    with pytest.raises(LookupError):
        turns.next()


def test_those_who_owe_nothing_are_not_kept() -> None:
    turns = waiting("busy")
    for number in range(1000):
        key = str(number)
        turns.join(key)
        turns.serve(key, 1.0)
        turns.leave(key)
        turns.serve("busy", 1.0)
    assert len(turns._tags) <= 3
    assert len(turns._owing) == len(turns._debts) <= 2


def test_who_comes_and_goes_leaves_nothing_behind() -> None:
    """While nobody is served: the device may be slow."""
    turns = waiting("busy")
    turns.join("a")
    turns.serve("a", 1.0)
    turns.leave("a")
    for number in range(1000):
        for key in ("a", str(number)):
            turns.join(key)
            turns.leave(key)
    assert (len(turns._tags), len(turns._debts)) == (1, 1)
    assert len(turns._heap) <= 20


class Scan:
    """The same by looking at every key."""

    def __init__(self) -> None:
        self.tags: dict[str, float] = {}
        self.now = 0.0
        self.waiting: list[str] = []

    def tag(self, key: str) -> float:
        return max(self.now, self.tags.get(key, 0.0))

    def next(self) -> str:
        return min(self.waiting, key=self.tag)

    def serve(self, key: str, cost: float) -> None:
        tag = self.tag(key)
        self.now = max(self.now, tag)
        self.tags[key] = tag + cost

    def charge(self, key: str, cost: float) -> None:
        self.tags[key] = max(self.now, self.tag(key) + cost)

    def leave(self, key: str) -> None:
        self.waiting.remove(key)
        if not self.waiting:
            self.tags.clear()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "serve", "charge"]),
        st.sampled_from("abcd"),
        st.integers(-3, 5),
    ),
    max_size=60,
)


@given(STEPS)
def test_it_is_the_turn_of_the_lowest_tag_whatever_happened(
    steps: Iterable[tuple[str, str, int]],
) -> None:
    turns: Turns[str] = Turns()
    scan = Scan()
    for step, key, cost in steps:
        if step == "join" and key not in scan.waiting:
            turns.join(key)
            scan.waiting.append(key)
        elif step == "leave" and key in scan.waiting:
            turns.leave(key)
            scan.leave(key)
        elif step == "charge" and scan.waiting:
            turns.charge(key, cost)
            scan.charge(key, cost)
        elif step == "serve" and scan.waiting:
            assert scan.tag(turns.next()) == scan.tag(scan.next())
            assert turns.next() == scan.next()
            served = scan.next()
            turns.serve(served, abs(cost))
            scan.serve(served, abs(cost))
