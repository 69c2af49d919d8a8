"""Formats rows as a Markdown table."""

from __future__ import annotations

from tests.attacks.attack import Attack, Place
from tests.attacks.judge import Left, rests_on_control, slowest, statuses_of
from tests.attacks.runner import Row
from tests.e2e.faults.load import Report

COLUMNS = (
    "attack",
    "through",
    "addresses",
    "honest median, ms",
    "honest p99, ms",
    "control: median, p99",
    "honest statuses",
    "memory, MB",
    "slowest live, ready, ms",
    "left open",
    "attackers saw",
    "holds",
    "what does not",
)
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def line(row: Row) -> str:
    seen = row.seen
    failed = [f"{check.name}: {check.seen}" for check in row.checks if not check.holds]
    memory = (seen.memory.before, seen.memory.peak, seen.memory.after)
    cells = (
        row.attack.title,
        row.place,
        str(seen.addresses),
        _change(seen.before, seen.during, 0.5),
        _change(seen.before, seen.during, 0.99),
        ", ".join(_milliseconds(seen.control.quantile(share)) for share in (0.5, 0.99)),
        statuses_of(seen.during),
        ", ".join(f"{size / 1e6:.0f}" for size in memory),
        ", ".join(_milliseconds(slowest(report)) for report in (seen.live, seen.ready)),
        _left(seen.at_rest, seen.left),
        _found(row),
        _verdict(row),
        "; ".join(failed),
    )
    return f"| {' | '.join(cells)} |"


def _verdict(row: Row) -> str:
    if not row.holds:
        return "NO"
    quick = row.attack.honest_rule == "quick"
    return "yes, by the control" if quick and rests_on_control(row.seen) else "yes"


def line_of_failure(attack: Attack, place: Place, error: Exception) -> str:
    """A row that could not be run."""
    what = f"not run: {type(error).__name__}: {error}".replace("\n", " ")
    cells = [attack.title, place, str(len(attack.sources)), *[""] * (len(COLUMNS) - 5), "NO", what]
    return f"| {' | '.join(cells)} |"


def _change(before: Report, during: Report, share: float) -> str:
    return " to ".join(_milliseconds(report.quantile(share)) for report in (before, during))


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f}" if seconds == seconds else "-"


def _left(at_rest: Left, left: Left | None) -> str:
    """Connections, additional descriptors, images in the queue, reserved bytes."""
    if left is None:
        return "-"
    reserved = "-" if left.reserved_bytes is None else f"{left.reserved_bytes:.0f}"
    more = left.descriptors - at_rest.descriptors
    return f"{left.connections}, {more}, {left.queue:.0f}, {reserved}"


def _found(row: Row) -> str:
    found = row.seen.found
    statuses = [f"{count} x {status}" for status, count in sorted(found.statuses.items())]
    counts = [f"{name} {count}" for name, count in sorted(found.counts.items())]
    return ", ".join([*statuses, *counts, f"{found.cpu_seconds:.1f} s of CPU"])
