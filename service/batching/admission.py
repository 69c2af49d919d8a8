"""Whether there is room for a request: decided when it arrives, before anything is decoded."""

from __future__ import annotations

import time
from typing import Any

from service.batching.batcher import Batcher
from service.errors import DeadlineExceeded, Overloaded, QueueFull, TooManyImages

# What is expected is a mean.
CAUTION = 1.5
# How much later than expected answers came: learnt at once when they come later, and slowly
# forgotten. It holds what the pace does not: decoding, and whoever else has the CPU.
LATER_WEIGHT, SOONER_WEIGHT = 0.5, 0.02


class Admission:
    """The queue's door. For one event loop.

    queue_limit: images that may wait. wait_limit_seconds: what an image may be expected to wait
    for the device; both count those that were let in and are still being decoded.
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
        """What an image that arrives now is expected to wait for the device."""
        return self._batcher.seconds_until(self._decoding)

    def check(self, images: int, *, deadline: float) -> None:
        """deadline: on the clock of `time.monotonic`.

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
            # Nobody is ahead: whoever comes may try, and shows how fast the device is now.
            return
        expected = self._batcher.seconds_until(self._decoding + images)
        # No more than half of what is left: a door that is shut altogether learns nothing.
        needed = CAUTION * expected + min(self._lateness_seconds, remaining / 2)
        if needed > remaining:
            raise Overloaded(
                f"The answer may take {needed:.2f} s, and the request has {remaining:.2f} s left.",
                retry_after_seconds=needed - remaining,
            )

    def admit(self, images: int, *, deadline: float) -> Reservation:
        """Lets so many in, or raises as `check` does."""
        self.check(images, deadline=deadline)
        return Reservation(self, images)

    def learn(self, late_seconds: float) -> None:
        """Told by how much later than expected a request was through."""
        weight = LATER_WEIGHT if late_seconds > self._lateness_seconds else SOONER_WEIGHT
        self._lateness_seconds += weight * (max(0.0, late_seconds) - self._lateness_seconds)


class Reservation:
    """One request's, from its admission until its images are decoded."""

    def __init__(self, admission: Admission, images: int) -> None:
        self._admission = admission
        self._expected = time.monotonic() + admission._batcher.seconds_until(
            admission._decoding + images
        )
        self._held = images
        admission._decoding += images

    def record_completion(self) -> None:
        """All of its images were answered, or it was too late for that."""
        self._admission.learn(time.monotonic() - self._expected)

    def release(self, images: int | None = None) -> None:
        """So many, or all that are left. Giving back more than there are is nothing."""
        given = self._held if images is None else min(images, self._held)
        self._held -= given
        self._admission._decoding -= given
