"""Checks of single attacks, of what was observed."""

from __future__ import annotations

from collections.abc import Callable

from tests.attacks.attackers import http_semantics
from tests.attacks.judge import Check, Observation

Checks = Callable[[Observation], list[Check]]

# RESNET_RATE_LIMIT_PER_SECOND and RESNET_RATE_LIMIT_BURST of the rows with a rate limit.
LIMIT_PER_SECOND, LIMIT_BURST = 10, 20
LIMITED = {
    "RESNET_RATE_LIMIT_PER_SECOND": str(LIMIT_PER_SECOND),
    "RESNET_RATE_LIMIT_BURST": str(LIMIT_BURST),
}


def counted(name: str, most: int = 0) -> Checks:
    """The attackers counted at most so many by that name."""

    def checks(seen: Observation) -> list[Check]:
        count = seen.found.counts[name]
        return [Check(name, count <= most, str(count))]

    return checks


def answered(status: int) -> Checks:
    """Every request was answered, with that status."""

    def checks(seen: Observation) -> list[Check]:
        asked, statuses = seen.found.counts["asked"], seen.found.statuses
        holds = asked > 0 and statuses[status] == statuses.total() == asked
        return [Check("answered", holds, f"{statuses[status]} x {status} of {asked}")]

    return checks


def never(status: int) -> Checks:
    """No response had that status."""

    def checks(seen: Observation) -> list[Check]:
        count = seen.found.statuses[status]
        return [Check(f"no {status}", count == 0, f"{count} x {status}")]

    return checks


def refused_versions(seen: Observation) -> list[Check]:
    return [check for name in http_semantics.VERSIONS for check in counted(name)(seen)]


def rate_limited(seen: Observation) -> list[Check]:
    """No more requests were let through, to a 404, than the rate limits give to one client."""
    due = seen.replicas * (LIMIT_BURST + LIMIT_PER_SECOND * (seen.seconds + 1))
    count = seen.found.statuses[404]
    return [Check("rate limit", 0 < count <= due, f"{count} requests of {due:.0f} due")]


def decoder_failed(seen: Observation) -> list[Check]:
    """Every refusal has the documented code."""
    refused = [one for one in seen.during.outcomes if one.status != 200]
    holds = all(one.reason == "decoder_failed" for one in refused)
    return [Check("code", holds, ", ".join(sorted({f"{o.status} {o.reason}" for o in refused})))]
