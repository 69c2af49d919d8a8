"""Whether there is room for a request: decided when it arrives, before anything is decoded."""

from __future__ import annotations

import time

from service.batching.batcher import Batcher
from service.errors import DeadlineExceeded, Overloaded, QueueFull, TooManyPictures

# What is expected is a mean.
CAUTION = 1.5
# How much later than expected answers came: learnt at once when they come later, and slowly
# forgotten. It holds what the pace does not: decoding, and whoever else has the processor.
LATER_WEIGHT, SOONER_WEIGHT = 0.5, 0.02


class Admission:
    """The queue's door. For one event loop.

    queue_limit: pictures that may wait. wait_limit_seconds: what a picture may be expected to wait
    for the device; both count those that were let in and are still being decoded.
    """

    def __init__(self, batcher: Batcher, *, queue_limit: int, wait_limit_seconds: float) -> None:
        self._batcher = batcher
        self._queue_limit = queue_limit
        self._wait_limit_seconds = wait_limit_seconds
        self._decoding = 0
        self._lateness_seconds = 0.0

    @property
    def wait_seconds(self) -> float:
        """What a picture that arrives now is expected to wait for the device."""
        return self._batcher.seconds_until(self._decoding)

    def check(self, pictures: int, *, deadline: float) -> None:
        """deadline: on the clock of `time.monotonic`.

        Raises TooManyPictures, QueueFull, Overloaded or DeadlineExceeded.
        """
        limit = self._queue_limit
        if pictures > limit:
            raise TooManyPictures(
                f"A request may have {limit} pictures, for no more may wait. Received: {pictures}"
            )
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise DeadlineExceeded("The deadline passed before the pictures were there.")
        waiting = self._batcher.depth + self._decoding
        if waiting + pictures > limit:
            raise QueueFull(
                f"{waiting} pictures are waiting, and {limit} may: nothing was decoded.",
                retry_after_seconds=self._batcher.seconds_until(self._decoding + pictures - limit),
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
        expected = self._batcher.seconds_until(self._decoding + pictures)
        # No more than half of what is left: a door that is shut altogether learns nothing.
        needed = CAUTION * expected + min(self._lateness_seconds, remaining / 2)
        if needed > remaining:
            raise Overloaded(
                f"The answer may take {needed:.2f} s, and the request has {remaining:.2f} s left.",
                retry_after_seconds=needed - remaining,
            )

    def admit(self, pictures: int, *, deadline: float) -> Places:
        """Lets so many in, or raises as `check` does."""
        self.check(pictures, deadline=deadline)
        return Places(self, pictures)

    def learn(self, late_seconds: float) -> None:
        """Told by how much later than expected a request was through."""
        weight = LATER_WEIGHT if late_seconds > self._lateness_seconds else SOONER_WEIGHT
        self._lateness_seconds += weight * (max(0.0, late_seconds) - self._lateness_seconds)


class Places:
    """One request's, from its admission until its pictures are decoded."""

    def __init__(self, admission: Admission, pictures: int) -> None:
        self._admission = admission
        self._expected = time.monotonic() + admission._batcher.seconds_until(
            admission._decoding + pictures
        )
        self._held = pictures
        admission._decoding += pictures

    def done(self) -> None:
        """All of its pictures were answered, or it was too late for that."""
        self._admission.learn(time.monotonic() - self._expected)

    def give_back(self, pictures: int | None = None) -> None:
        """So many, or all that are left. Giving back more than there are is nothing."""
        given = self._held if pictures is None else min(pictures, self._held)
        self._held -= given
        self._admission._decoding -= given
