"""How long batches take on this hardware, from those that ran."""

from __future__ import annotations

from service.batching.batch_sizes import BatchSizes

# What the newest batch counts for. A device that slows down is believed sooner than one that
# speeds up: a promise that can't be kept costs more than a place that stays empty.
SLOWER_WEIGHT, FASTER_WEIGHT = 0.3, 0.1
# How soon the slowest batch of late is forgotten: half of it after some fourteen.
FORGOTTEN = 0.05
# A single batch that takes longer than so many times the usual says no more than that.
HICCUP = 4


class LatencyEstimator:
    """A running estimate of seconds a batch, by its size; it begins with what warm-up measured."""

    def __init__(self, plan: BatchSizes) -> None:
        self._plan = plan
        self._seconds = dict(plan.seconds)
        self._slowest = dict(plan.seconds)

    def observe(self, size: int, seconds: float) -> None:
        known = self._seconds[size]
        weight = SLOWER_WEIGHT if seconds > known else FASTER_WEIGHT
        seconds = min(seconds, HICCUP * known)
        self._seconds[size] += weight * (seconds - known)
        slowest = self._slowest[size]
        self._slowest[size] = max(seconds, slowest - FORGOTTEN * (slowest - seconds))

    def batch_seconds(self, size: int) -> float:
        """One batch of that size, which must be one of the plan's."""
        return self._seconds[size]

    def slowest_seconds(self, size: int) -> float:
        """What such a batch may take, by the slowest of late."""
        return self._slowest[size]

    def seconds(self, images: int) -> float:
        """So many waiting images on one device, in as few batches as they fit in."""
        largest = self._plan.largest
        batches, rest = divmod(images, largest)
        seconds = batches * self.batch_seconds(largest)
        return seconds + (self.batch_seconds(self._plan.padded_size(rest)) if rest else 0.0)
