"""What is judged and printed, of made-up observations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.attacks.attackers.config import Findings
from tests.attacks.catalog import ATTACKS
from tests.attacks.checks import answered, counted, decoder_failed, never, rate_limited
from tests.attacks.judge import (
    Check,
    Expected,
    Left,
    Memory,
    Observation,
    fair_share,
    judge,
)
from tests.attacks.report import HEADER, line
from tests.attacks.runner import Row
from tests.e2e.faults.load import BROKEN, Outcome, Report

ENDED = 100.0
MEGABYTE = 10**6


def report(*seconds: float, status: int = 200, reason: str = "") -> Report:
    """Requests that began 10 s before `ENDED`, with these durations; five a second."""
    outcomes = [Outcome(ENDED - 10, one, status, reason) for one in seconds]
    return Report(outcomes, len(outcomes) / 5)


def joined(*reports: Report) -> Report:
    outcomes = [outcome for one in reports for outcome in one.outcomes]
    return Report(outcomes, len(outcomes) / 5)


def found(statuses: dict[int, int], counts: dict[str, int] | None = None) -> Findings:
    return Findings(Counter(statuses), Counter(counts))


GOOD = Observation(
    before=report(*[0.1] * 40),
    during=report(*[0.15] * 60),
    ended=ENDED,
    per_second=5.0,
    addresses=1,
    replicas=1,
    capacity=0.0,
    memory=Memory(200 * MEGABYTE, 400 * MEGABYTE, 210 * MEGABYTE),
    live=report(*[0.01] * 40),
    ready=report(*[0.02] * 40),
    at_rest=Left(0, 30, 0.0, None),
    left=Left(0, 30, 0.0, None),
    held=0,
    errors=0,
    found=Findings(),
    seconds=12.0,
)
ONE = Expected("quick", 500 * MEGABYTE, most_held=0)
MANY = replace(ONE, rule="fair share")
REFUSED = report(0.01, status=503, reason="overloaded")
LATE = Report([Outcome(ENDED - 1, 20.0, 200)] * 60, 12.0)


def failed(seen: Observation, expected: Expected = ONE) -> set[str]:
    return {check.name for check in judge(seen, expected) if not check.holds}


def test_every_check_of_a_good_observation_holds() -> None:
    names = [check.name for check in judge(GOOD, ONE)]
    assert names == [
        "median",
        "p99",
        "statuses",
        "memory",
        "live",
        "ready",
        "held",
        "connections",
        "descriptors",
        "queue",
        "reserved",
        "log",
    ]
    assert failed(GOOD) == set()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"during": report(*[0.2] * 60)}, set()),
        ({"during": report(*[0.21] * 60)}, {"median"}),
        ({"during": report(*[0.1] * 59, 0.31)}, {"p99"}),
        ({"during": joined(report(*[0.1] * 59), REFUSED)}, {"statuses"}),
        ({"during": joined(report(*[0.1] * 9), report(1.0, status=BROKEN))}, {"statuses"}),
        ({"during": Report()}, {"median", "p99", "statuses"}),
        ({"memory": Memory(0, 501 * MEGABYTE, 0)}, {"memory"}),
        ({"cut_off": True}, {"memory"}),
        ({"live": report(0.01, 0.51)}, {"live"}),
        ({"ready": report(0.01, status=503)}, {"ready"}),
        ({"live": Report()}, {"live"}),
        ({"held": 1}, {"held"}),
        ({"left": Left(1, 30, 0.0, None)}, {"connections"}),
        ({"left": Left(0, 31, 0.0, None)}, {"descriptors"}),
        ({"left": Left(0, 20, 2.0, None)}, {"queue"}),
        ({"left": Left(0, 30, 0.0, 4096.0)}, {"reserved"}),
        ({"left": Left(0, 30, 0.0, 0.0)}, set()),
        ({"left": None}, {"serves on"}),
        ({"errors": 11}, {"log"}),
    ],
)
def test_what_does_not_hold_is_named(change: dict[str, Any], names: set[str]) -> None:
    assert failed(replace(GOOD, **change)) == names


@pytest.mark.parametrize(
    ("control", "during", "names"),
    [
        ([0.15] * 60, [0.25] * 60, set()),
        ([0.12] * 60, [0.25] * 60, {"median"}),
        ([0.1] * 59 + [0.2], [0.1] * 59 + [0.6], set()),
        ([0.1] * 59 + [0.2], [0.1] * 59 + [0.61], {"p99"}),
        # A control that is quicker takes nothing away.
        ([0.05] * 60, [0.2] * 60, set()),
    ],
)
def test_the_attackers_own_cpu_time_is_no_fault_of_the_server(
    control: list[float], during: list[float], names: set[str]
) -> None:
    seen = replace(GOOD, control=report(*control), during=report(*during))
    assert failed(seen) == names
    assert "x the control" in judge(seen, ONE)[0].seen


@pytest.mark.parametrize(
    ("control", "during", "verdict"),
    [(0.15, 0.25, "yes, by the control"), (0.15, 0.15, "yes"), (0.12, 0.25, "NO")],
)
def test_a_row_says_whether_it_holds_by_the_control_only(
    control: float, during: float, verdict: str
) -> None:
    seen = replace(GOOD, control=report(*[control] * 60), during=report(*[during] * 60))
    shown = line(Row(ATTACKS["flood_404"], "alone", seen, tuple(judge(seen, ONE))))
    assert f"| {verdict} |" in shown
    assert f"| {1000 * control:.0f}, {1000 * control:.0f} |" in shown


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, set()),
        ({"capacity": 90.0}, set()),
        # Slow, but at the full rate.
        ({"during": report(*[5.0] * 60)}, set()),
        ({"during": joined(report(*[0.1] * 10), *[REFUSED] * 40)}, set()),
        ({"during": joined(report(*[0.1] * 5), *[REFUSED] * 95)}, {"fair share"}),
        ({"during": joined(report(*[0.1] * 20), report(0.1, status=503))}, {"statuses"}),
        ({"during": joined(report(*[0.1] * 20), report(0.1, status=500))}, {"statuses"}),
        # Answered after the end of the attack.
        ({"during": LATE}, {"fair share"}),
        ({"capacity": 0.0}, {"fair share"}),
    ],
)
def test_the_honest_client_has_its_share_among_several_addresses(
    change: dict[str, Any], names: set[str]
) -> None:
    seen = replace(GOOD, addresses=8, capacity=9.0, live=GOOD.live)
    assert failed(replace(seen, **change), MANY) == names


def test_a_share_is_at_most_what_the_client_sends() -> None:
    assert fair_share(replace(GOOD, addresses=8, capacity=18.0)) == 2.0
    assert fair_share(replace(GOOD, addresses=8, capacity=900.0)) == 5.0


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"most_held": None}, set()),
        ({"rule": "any"}, {"held"}),
        ({"rule": "told"}, {"statuses", "held"}),
        ({"probed": ("live",)}, {"statuses", "median", "p99", "held"}),
    ],
)
def test_a_row_may_expect_less(change: dict[str, Any], names: set[str]) -> None:
    seen = replace(GOOD, during=Report(), held=3)
    if "most_held" in change:
        seen = replace(seen, during=GOOD.during)
    assert failed(seen, replace(ONE, **change)) == names


def test_a_server_that_is_stopped_need_not_answer() -> None:
    seen = replace(GOOD, left=None, errors=50, ready=Report(), live=Report())
    ending = replace(ONE, serves_on=False, probed=(), quiet_log=False)
    assert failed(seen, ending) == set()


@pytest.mark.parametrize(
    ("checks", "reported", "holds"),
    [
        (answered(200), found({200: 5}, {"asked": 5}), True),
        (answered(200), found({200: 4}, {"asked": 5}), False),
        (answered(200), found({200: 5, 0: 1}, {"asked": 5}), False),
        (answered(200), found({}), False),
        (never(200), found({431: 5}), True),
        (never(200), found({431: 5, 200: 1}), False),
        (counted("hidden answered"), found({}), True),
        (counted("hidden answered"), found({}, {"hidden answered": 1}), False),
        (rate_limited, found({404: 150, 429: 900}), True),
        (rate_limited, found({404: 151, 429: 900}), False),
        (rate_limited, found({429: 900}), False),
    ],
)
def test_what_the_attackers_saw_is_judged_too(
    checks: Callable[[Observation], list[Check]], reported: Findings, holds: bool
) -> None:
    (check,) = checks(replace(GOOD, found=reported))
    assert check.holds is holds


def test_a_failed_decoder_has_its_code() -> None:
    refused = report(0.1, status=500, reason="decoder_failed")
    (told,) = decoder_failed(replace(GOOD, during=joined(GOOD.during, refused)))
    (untold,) = decoder_failed(replace(GOOD, during=joined(refused, REFUSED)))
    assert (told.holds, untold.holds) == (True, False)


def test_a_row_of_the_table_has_every_column() -> None:
    seen = replace(GOOD, found=found({404: 7}, {"asked": 7}), during=report(*[0.3] * 5))
    attack = ATTACKS["flood_404"]
    shown = line(Row(attack, "alone", seen, tuple(judge(seen, ONE))))
    assert shown.count(" | ") == HEADER.splitlines()[0].count(" | ")
    for cell in (
        "flood of 404",
        "100 to 300",
        "5 x 200",
        "200, 400, 210",
        "10, 20",
        "0, 0, 0, -",
    ):
        assert f"| {cell} |" in shown
    assert shown.endswith("| NO | median: 3.0 x the usual one |")
