"""How long batches take on this hardware, from those that ran."""

from __future__ import annotations

from service.batch_plan import BatchPlan

# What the newest batch counts for: some ten batches make an old speed forgotten.
NEWEST_WEIGHT = 0.2
# A single batch that takes longer than so many times the usual says no more than that.
HICCUP = 4


class Pace:
    """A running estimate of seconds a batch, by its size; it begins with what warm-up measured."""

    def __init__(self, plan: BatchPlan) -> None:
        self._plan = plan
        self._seconds = dict(plan.seconds)

    def observe(self, size: int, seconds: float) -> None:
        known = self._seconds[size]
        self._seconds[size] += NEWEST_WEIGHT * (min(seconds, HICCUP * known) - known)

    def batch_seconds(self, size: int) -> float:
        """One batch of that size, which must be one of the plan's."""
        return self._seconds[size]

    def seconds(self, pictures: int) -> float:
        """So many waiting pictures on one device, in as few batches as they fit in."""
        largest = self._plan.largest
        batches, rest = divmod(pictures, largest)
        seconds = batches * self.batch_seconds(largest)
        return seconds + (self.batch_seconds(self._plan.padded(rest)) if rest else 0.0)
