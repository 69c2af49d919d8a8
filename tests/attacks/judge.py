"""Decides from the observation of an attack what held. Measures nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Literal

from tests.attacks.attackers.config import Findings
from tests.e2e.faults.cases import explained
from tests.e2e.faults.load import Outcome, Report

# One attacking address may raise the honest client's median and 99th percentile by these factors.
MEDIAN_FACTOR, P99_FACTOR = 2.0, 3.0
PROBE_SECONDS = 0.5
# For the error of a measured throughput.
SHARE_SLACK = 0.9
# Records of errors in the log: some for an incident, not one for each request.
MOST_ERRORS = 10

# What the honest client must see.
# quick: latency within the factors above, status 200 only.
# fair share: its share of the throughput; 200, or 429, 503 and 504 with a reason.
# told: 200, or 429, 503 and 504 with a reason. any: not checked.
Rule = Literal["quick", "fair share", "told", "any"]


@dataclass(frozen=True)
class Check:
    """name: of what must hold. seen: the value that was observed."""

    name: str
    holds: bool
    seen: str


@dataclass(frozen=True)
class Memory:
    """Resident bytes of a server's process tree; of the largest one where there are several."""

    before: int
    peak: int
    after: int


@dataclass(frozen=True)
class Left:
    """What the servers have open.

    connections: from the attackers' addresses. descriptors: open files other than connections and
    the sockets of decoding processes.
    queue: images that wait. reserved_bytes: reserved for bodies; None without such a metric.
    """

    connections: int
    descriptors: int
    queue: float
    reserved_bytes: float | None


@dataclass(frozen=True)
class Observation:
    """What was observed of one attack.

    before, during: the honest client's requests. control: the same beside a program of the
    attackers' CPU time that sends nothing; empty where it was not observed. ended: the end of the
    attack, on the clock of the outcomes. per_second: rate of the honest client.
    addresses, replicas: how many.
    capacity: photos a second that the server answers without the attack; 0: not measured.
    live, ready: the probes during the attack. at_rest, left: what is open before and after the
    attack; None where a server did not answer. held: connections from the attackers' addresses at
    the end of the attack. errors: records of errors in the log. found: reported by the attackers.
    seconds: duration of the attack. cut_off: the server exceeded the guard's memory and was killed.
    """

    before: Report
    during: Report
    ended: float
    per_second: float
    addresses: int
    replicas: int
    capacity: float
    memory: Memory
    live: Report
    ready: Report
    at_rest: Left
    left: Left | None
    held: int
    errors: int
    found: Findings
    seconds: float
    cut_off: bool = False
    control: Report = field(default_factory=Report)


@dataclass(frozen=True)
class Expected:
    """What must hold.

    promised_bytes: limit of memory. most_held: see `Attack.held`; None: not checked.
    serves_on: the server answers after the attack and has nothing left open.
    probed: the probes that must be answered with 200 in time. quiet_log: few errors are logged.
    """

    rule: Rule
    promised_bytes: int
    most_held: int | None = None
    serves_on: bool = True
    probed: Collection[str] = field(default=("live", "ready"))
    quiet_log: bool = True


def judge(seen: Observation, expected: Expected) -> list[Check]:
    """Every check that applies, in the order of the table's description."""
    checks = [*_honest(seen, expected.rule), _memory(seen, expected.promised_bytes)]
    probes = {"live": seen.live, "ready": seen.ready}
    checks += [_probe(name, probes[name]) for name in expected.probed]
    if expected.most_held is not None:
        checks.append(Check("held", seen.held <= expected.most_held, f"{seen.held} held"))
    if expected.serves_on:
        checks += _left(seen.at_rest, seen.left)
    if expected.quiet_log:
        checks.append(Check("log", seen.errors <= MOST_ERRORS, f"{seen.errors} errors logged"))
    return checks


def _honest(seen: Observation, rule: Rule) -> list[Check]:
    if rule == "any":
        return []
    if rule == "quick":
        statuses = Check("statuses", only_200(seen.during), statuses_of(seen.during))
        return [*_latency(seen), statuses]
    checks = [Check("statuses", explained(seen.during), statuses_of(seen.during))]
    if rule == "fair share":
        checks.append(_share(seen))
    return checks


def only_200(report: Report) -> bool:
    return set(report.statuses) == {200}


def statuses_of(report: Report) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(report.statuses.items()))


def _latency(seen: Observation) -> list[Check]:
    """Against the usual latency, or the control's where that is longer: real attackers take none of
    the server's CPUs."""
    checks = []
    for name, share, factor in (("median", 0.5, MEDIAN_FACTOR), ("p99", 0.99, P99_FACTOR)):
        usual, control, now = (
            report.quantile(share) for report in (seen.before, seen.control, seen.during)
        )
        # NaN without any response; the comparison is false then.
        holds = now <= factor * usual or now <= factor * control
        told = f", {now / control:.1f} x the control" if seen.control.outcomes else ""
        checks.append(Check(name, holds, f"{now / usual:.1f} x the usual one{told}"))
    return checks


def rests_on_control(seen: Observation) -> bool:
    """Whether the latency is too long beside the usual one, but not beside the control."""
    return bool(seen.control.outcomes) and not all(
        check.holds for check in _latency(replace(seen, control=Report()))
    )


def answered_per_second(report: Report, ended: float) -> float:
    """Responses with 200 that came before the end of the attack, a second."""
    in_time = [one for one in report.outcomes if one.status == 200 and _end_of(one) <= ended]
    return len(in_time) / report.seconds if report.seconds else 0.0


def fair_share(seen: Observation) -> float:
    """Photos a second that are due to the honest client: an equal part of the capacity, at most
    what it sends."""
    return min(seen.per_second, seen.capacity / (seen.addresses + 1))


def _share(seen: Observation) -> Check:
    answered, due = answered_per_second(seen.during, seen.ended), fair_share(seen)
    holds = due > 0 and answered >= SHARE_SLACK * due
    return Check("fair share", holds, f"{answered:.1f} answers a second of {due:.1f} due")


def _end_of(outcome: Outcome) -> float:
    return outcome.started + outcome.seconds


def _memory(seen: Observation, promised_bytes: int) -> Check:
    holds = seen.memory.peak <= promised_bytes and not seen.cut_off
    killed = ", then killed by the guard" if seen.cut_off else ""
    return Check("memory", holds, f"{seen.memory.peak / 1e6:.0f} MB{killed}")


def slowest(report: Report) -> float:
    return max((outcome.seconds for outcome in report.outcomes), default=float("nan"))


def _probe(name: str, report: Report) -> Check:
    answered = f"{slowest(report):.2f} s at most, {statuses_of(report)}"
    return Check(name, only_200(report) and slowest(report) <= PROBE_SECONDS, answered)


def nothing_left(at_rest: Left, left: Left) -> bool:
    """Whether every check of what is left open holds."""
    return all(check.holds for check in _left(at_rest, left))


def _left(at_rest: Left, left: Left | None) -> list[Check]:
    if left is None:
        return [Check("serves on", False, "no answer after the attack")]
    more = left.descriptors - at_rest.descriptors
    return [
        Check("connections", left.connections == 0, f"{left.connections} connections left"),
        Check("descriptors", more <= 0, f"{more} more descriptors"),
        Check("queue", left.queue == 0, f"{left.queue:.0f} images wait"),
        Check("reserved", not left.reserved_bytes, f"{left.reserved_bytes or 0:.0f} bytes"),
    ]
