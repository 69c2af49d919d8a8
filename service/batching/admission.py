"""Admits or refuses a request when it arrives, before anything is decoded."""

from __future__ import annotations

import time
from typing import Any

from service.batching.batcher import Batcher
from service.errors import DeadlineExceeded, Overloaded, QueueFull, TooManyImages

# The expected latency is a mean.
SAFETY_FACTOR = 1.5
# Weights of a new observation of lateness: high when a result came later than expected, low when it
# came sooner. Lateness covers what the latency of batches does not: decoding, and other load on the
# CPUs.
LATER_WEIGHT, SOONER_WEIGHT = 0.5, 0.02


class Admission:
    """The only place that holds the queue's limits. For one event loop.

    queue_limit: images that may wait. wait_limit_seconds: longest expected wait for the device.
    Both count the images that were admitted and are still being decoded.
    """

    def __init__(
        self, batcher: Batcher[Any], *, queue_limit: int, wait_limit_seconds: float
    ) -> None:
        self._batcher = batcher
        self._queue_limit = queue_limit
        self._wait_limit_seconds = wait_limit_seconds
        self._decoding = 0
        self._lateness_seconds = 0.0

    @property
    def wait_seconds(self) -> float:
        """Expected wait for the device of an image that arrives now."""
        return self._batcher.seconds_until(self._decoding)

    def check(self, images: int, *, deadline: float) -> None:
        """Refuses by raising. deadline: on the clock of `time.monotonic`.

        Raises TooManyImages, QueueFull, Overloaded or DeadlineExceeded.
        """
        limit = self._queue_limit
        if images > limit:
            raise TooManyImages(
                f"A request may have {limit} images, for no more may wait. Received: {images}"
            )
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise DeadlineExceeded("The deadline passed before the images were there.")
        waiting = self._batcher.depth + self._decoding
        if waiting + images > limit:
            raise QueueFull(
                f"{waiting} images are waiting, and {limit} may: nothing was decoded.",
                retry_after_seconds=self._batcher.seconds_until(self._decoding + images - limit),
            )
        wait = self.wait_seconds
        if wait > self._wait_limit_seconds:
            raise Overloaded(
                f"The wait is about {wait:.1f} s, and {self._wait_limit_seconds:g} s is the limit.",
                retry_after_seconds=wait - self._wait_limit_seconds,
            )
        if not wait:
            # The device is idle: the request is admitted and updates the latency estimate.
            return
        expected = self._batcher.seconds_until(self._decoding + images)
        # At most half of the remaining time: if every request were refused, lateness would never
        # be observed again.
        needed = SAFETY_FACTOR * expected + min(self._lateness_seconds, remaining / 2)
        if needed > remaining:
            raise Overloaded(
                f"The answer may take {needed:.2f} s, and the request has {remaining:.2f} s left.",
                retry_after_seconds=needed - remaining,
            )

    def admit(self, images: int, *, deadline: float) -> Reservation:
        """Reserves room for the images. Raises what `check` raises."""
        self.check(images, deadline=deadline)
        return Reservation(self, images)

    def record_lateness(self, late_seconds: float) -> None:
        """late_seconds: between the expected and the actual end of a request; negative if early."""
        weight = LATER_WEIGHT if late_seconds > self._lateness_seconds else SOONER_WEIGHT
        self._lateness_seconds += weight * (max(0.0, late_seconds) - self._lateness_seconds)


class Reservation:
    """Room for the images of one request, from its admission until they are decoded."""

    def __init__(self, admission: Admission, images: int) -> None:
        self._admission = admission
        self._expected = time.monotonic() + admission._batcher.seconds_until(
            admission._decoding + images
        )
        self._held = images
        admission._decoding += images

    def record_completion(self) -> None:
        """Records the lateness: every image has its result, or the deadline passed."""
        self._admission.record_lateness(time.monotonic() - self._expected)

    def release(self, images: int | None = None) -> None:
        """Releases room for a number of images, or all that is held; never more than is held."""
        given = self._held if images is None else min(images, self._held)
        self._held -= given
        self._admission._decoding -= given
