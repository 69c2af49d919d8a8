"""How long batches take on this hardware, from those that ran."""

from __future__ import annotations

from collections.abc import Sequence

# What the newest batch counts for: some ten batches make an old speed forgotten.
NEWEST_WEIGHT = 0.2


class Pace:
    """A running estimate of seconds a batch, by the size that it was padded to.

    Knows nothing until the first `observe`, and says 0 seconds then.
    """

    def __init__(self, batch_sizes: Sequence[int]) -> None:
        self._sizes = tuple(sorted(batch_sizes))
        self._seconds: dict[int, float] = {}

    def observe(self, size: int, seconds: float) -> None:
        known = self._seconds.get(size, seconds)
        self._seconds[size] = known + NEWEST_WEIGHT * (seconds - known)

    def padded(self, pictures: int) -> int:
        """The smallest size that holds so many, which must be no more than the largest."""
        return next(size for size in self._sizes if size >= pictures)

    def batch_seconds(self, size: int) -> float:
        """One batch of that size; by the nearest size's seconds a picture where none ran yet."""
        if not self._seconds:
            return 0.0
        nearest = min(self._seconds.copy(), key=lambda known: abs(known - size))
        return self._seconds[nearest] * size / nearest

    def seconds(self, pictures: int) -> float:
        """So many waiting pictures on one device, in as few batches as they fit in."""
        largest = self._sizes[-1]
        batches, rest = divmod(pictures, largest)
        seconds = batches * self.batch_seconds(largest)
        return seconds + (self.batch_seconds(self.padded(rest)) if rest else 0.0)
