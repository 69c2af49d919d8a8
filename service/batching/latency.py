"""Latency of a batch on this hardware, estimated from the batches that ran."""

from __future__ import annotations

import math

from service.batching.batch_sizes import BatchSizes

# Weight of the newest batch. A slower one weighs more: an estimate that is too low breaks
# deadlines, one that is too high only leaves room unused.
SLOWER_WEIGHT, FASTER_WEIGHT = 0.3, 0.1
# Decay of the slowest latency for each batch: half of it is gone after 14.
SLOWEST_DECAY = 0.05
# Outlier clamp: one observation counts at most CLAMP times the current estimate.
CLAMP = 4


class LatencyEstimator:
    """An exponential moving average for each batch size, in seconds; starts at the warm-up's.

    batch_sizes: with the latencies as they are estimated now.
    """

    def __init__(self, batch_sizes: BatchSizes) -> None:
        self._batch_sizes = batch_sizes
        self._seconds = dict(batch_sizes.seconds)
        self.batch_sizes = BatchSizes(self._seconds)
        self._slowest = dict(batch_sizes.seconds)
        # Of an image whose batch had all of a device that batches divide else: the fastest one.
        self._whole_seconds = math.inf

    def observe(self, size: int, seconds: float) -> None:
        known = self._seconds[size]
        weight = SLOWER_WEIGHT if seconds > known else FASTER_WEIGHT
        seconds = min(seconds, CLAMP * known)
        self._seconds[size] += weight * (seconds - known)
        slowest = self._slowest[size]
        self._slowest[size] = max(seconds, slowest - SLOWEST_DECAY * (slowest - seconds))

    def observe_whole(self, size: int, seconds: float) -> None:
        """A batch that had all of a device, which batches divide else."""
        self._whole_seconds = min(self._whole_seconds, seconds / size)

    def whole_part(self, streams: int) -> float:
        """Throughput of batches that have all of the device, one after another.

        As a part of that of the largest ones in so many streams; 1 before the first of them. By
        what each takes where nothing disturbs it: that is what the device can do.
        """
        if math.isinf(self._whole_seconds):
            return 1.0
        largest = self._batch_sizes.largest
        return self._batch_sizes.seconds[largest] / (largest * streams) / self._whole_seconds

    def batch_seconds(self, size: int) -> float:
        """The estimate for one batch of a size, which must be one of the batch sizes."""
        return self._seconds[size]

    def slowest_seconds(self, size: int) -> float:
        """The decaying maximum for such a batch."""
        return self._slowest[size]

    def seconds(self, images: int) -> float:
        """The estimate for a number of images on one device, in as few batches as they fit in."""
        sizes, estimated = self._batch_sizes, self._seconds
        batches, rest = divmod(images, sizes.largest)
        seconds = batches * estimated[sizes.largest]
        return seconds + estimated[sizes.padded_size(rest)] if rest else seconds

    def seconds_for(self, ahead: int, *, waiting: int, devices: int) -> float:
        """The estimate for the first so many of the images that wait, on all devices together.

        Others of those that wait fill the last of their batches.
        """
        largest = self._batch_sizes.largest
        images = max(ahead, min(waiting, -(-ahead // largest) * largest))
        if images <= largest:
            return self.seconds(images)
        return max(self._seconds[largest], self.seconds(images) / devices)
