"""The batch sizes in use, and how many of the waiting images the next batch takes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

# Other load on the machine makes measurements no more exact than this.
NEAR_BEST = 0.95
# What shorter batches may cost where a client waits for those of another one, and larger ones where
# an engine takes any size.
NEAR_ENOUGH = 0.9
# What a batch may cost that has no images but those of clients with few.
NEAR_ALONE = 0.7
# Of batches in streams: what short ones must have that are given all of the device one by one.
NEAR_WHOLE = 0.5


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """seconds: latency of one batch on this machine, by its size. sizes: ascending."""

    seconds: Mapping[int, float]
    sizes: tuple[int, ...] = field(init=False, repr=False, compare=False)
    largest: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.seconds or min(self.seconds) < 1:
            raise ValueError(
                f"There must be sizes, of 1 image or more. Received: {sorted(self.seconds)}"
            )
        # What admission asks for with every request.
        object.__setattr__(self, "sizes", tuple(sorted(self.seconds)))
        object.__setattr__(self, "largest", self.sizes[-1])

    @property
    def quick(self) -> int:
        """The smallest size whose throughput is near enough to the best."""
        return min(self.near_best(NEAR_ENOUGH))

    @property
    def alone(self) -> int:
        """The smallest size that a batch may have with no images but those of clients with few."""
        return min(self.near_best(NEAR_ALONE))

    def near_best(self, part: float) -> list[int]:
        """The sizes whose throughput is at least this part of the best."""
        rates = {size: size / seconds for size, seconds in self.seconds.items()}
        best = max(rates.values())
        return [size for size, rate in rates.items() if rate >= part * best]

    def up_to(self, largest: int) -> BatchSizes:
        """Those of at most this size."""
        return BatchSizes({size: taken for size, taken in self.seconds.items() if size <= largest})

    def take(self, waiting: int) -> int:
        """How many of the waiting images to take for the highest throughput.

        Either all that fit, padded to the next size, or fewer without padding: where a batch of 8
        takes twice the time of one of 4, five images are better run as 4 and 1. Of counts whose
        throughput is near the best, the largest.
        """
        waiting = min(waiting, self.largest)
        counts = [*(size for size in self.seconds if size <= waiting), waiting]
        rates = {count: count / self.seconds[self.padded_size(count)] for count in counts}
        return max(count for count in counts if rates[count] >= NEAR_BEST * max(rates.values()))

    def padded_size(self, count: int) -> int:
        """The smallest size that holds `count` images, at most `largest`."""
        return self.sizes[bisect_left(self.sizes, count)]
