"""Who gets the next turn, by the cost served."""

from __future__ import annotations

from collections import Counter

from service.fairness.turns import Turns


def served(turns: Turns[str], costs: dict[str, float], total: float) -> Counter[str]:
    """The cost that each key was served, all of them waiting all the time."""
    result: Counter[str] = Counter()
    while sum(result.values()) < total:
        key = turns.next(costs)
        turns.serve(key, costs[key])
        result[key] += costs[key]  # type: ignore[assignment]
    return result


def test_keys_share_by_cost_and_not_by_number() -> None:
    result = served(Turns(), {"dear": 10.0, "cheap": 1.0, "other": 1.0}, 300.0)
    assert max(result.values()) - min(result.values()) <= 10


def test_a_key_alone_gets_every_turn() -> None:
    assert served(Turns(), {"one": 3.0}, 30.0) == {"one": 30.0}


def test_an_idle_key_saves_nothing_up() -> None:
    turns: Turns[str] = Turns()
    served(turns, {"busy": 1.0}, 100.0)
    late = served(turns, {"busy": 1.0, "late": 1.0}, 10.0)
    assert late == {"busy": 5.0, "late": 5.0}


def test_what_is_charged_later_is_owed() -> None:
    turns: Turns[str] = Turns()
    turns.serve("a", 1.0)
    turns.charge("a", 4.0)
    assert served(turns, {"a": 1.0, "b": 1.0}, 5.0) == {"b": 5.0}


def test_a_correction_never_gives_credit() -> None:
    turns: Turns[str] = Turns()
    turns.serve("a", 1.0)
    turns.charge("a", -100.0)
    assert served(turns, {"a": 1.0, "b": 1.0}, 10.0) == {"a": 5.0, "b": 5.0}


def test_who_owes_is_remembered_while_others_wait_and_forgotten_when_none_does() -> None:
    turns: Turns[str] = Turns()
    turns.serve("a", 5.0)
    turns.forget_idle({"b"})
    assert turns.next(["a", "b"]) == "b"
    turns.forget_idle(())
    assert turns.next(["a", "b"]) == "a"


def test_those_who_owe_nothing_are_not_kept() -> None:
    turns: Turns[str] = Turns()
    for number in range(1000):
        turns.serve(str(number), 1.0)
        turns.serve("busy", 1.0)
        turns.forget_idle({"busy"})
    assert len(turns._tags) <= 3
