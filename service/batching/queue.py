"""The images that wait for a device: no more than may, and none longer than makes sense."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from service.batching.batch_sizes import BatchSizes
from service.batching.item import BatchItem
from service.batching.latency import LatencyEstimator
from service.errors import DeadlineExceeded, Overloaded, QueueFull, ServiceError, ShuttingDown

IDLE_WAIT_SECONDS = 1.0


class BatchQueue:
    """From many threads to the workers', a batch at a time.

    limit: images that may wait; canaries are not counted in. dropped: told why an image left
    the queue without having been computed, "cancelled" or "deadline"; not of canaries.
    lock: may be held around several calls, for what must not change between them.
    """

    def __init__(
        self,
        *,
        limit: int,
        plan: BatchSizes,
        latency: LatencyEstimator,
        dropped: Callable[[str], None],
    ) -> None:
        self.lock = threading.RLock()
        self.closing = False
        self._limit = limit
        self._plan = plan
        self._pace = latency
        self._dropped = dropped
        self._waiting: deque[BatchItem] = deque()
        self._changed = threading.Condition(self.lock)

    @property
    def depth(self) -> int:
        return len(self._waiting)

    def put(self, pending: BatchItem) -> None:
        """Raises QueueFull or ShuttingDown."""
        with self.lock:
            if self.closing:
                raise ShuttingDown("The service is shutting down.")
            if pending.self_test:
                self._waiting.appendleft(pending)
            elif self.depth >= self._limit:
                raise QueueFull(f"{self.depth} images are waiting, and that is the limit.")
            else:
                self._waiting.append(pending)
            self._changed.notify()

    def next_batch(self) -> list[BatchItem]:
        """At least one image that somebody still waits for, or nothing when it is time to end."""
        while True:
            with self.lock:
                while not self._waiting:
                    if self.closing:
                        return []
                    self._changed.wait(IDLE_WAIT_SECONDS)
                batch: list[BatchItem] = []
                wanted = self._plan.take(len(self._waiting))
                while self._waiting and len(batch) < wanted:
                    pending = self._waiting.popleft()
                    if self._claim(pending):
                        batch.append(pending)
            if batch:
                return batch

    def leave(self, pending: BatchItem) -> None:
        """Takes a cancelled image out, where it would hold a place."""
        if not pending.future.cancelled():
            return
        with self.lock:
            if pending not in self._waiting:
                return
            self._waiting.remove(pending)
        self._drop(pending, "cancelled")

    def close(self) -> None:
        """Takes nothing more; `next_batch` gives what waits, and then nothing."""
        with self.lock:
            self.closing = True
            self._changed.notify_all()

    def clear(self) -> list[BatchItem]:
        """Empties it. What waited, for the caller to answer."""
        with self.lock:
            left, self._waiting = list(self._waiting), deque()
        return left

    def _claim(self, pending: BatchItem) -> bool:
        if not pending.future.set_running_or_notify_cancel():
            self._drop(pending, "cancelled")
            return False
        now = time.monotonic()
        waited = now - pending.submitted
        # What waited behind others is not begun when it can't be done in time. What did not may
        # try: it shows how fast the device is now.
        smallest = self._plan.sizes[0]
        waited_for_others = waited > self._pace.batch_seconds(smallest)
        least = self._pace.slowest_seconds(smallest)
        if now >= pending.deadline:
            error: ServiceError = DeadlineExceeded(
                f"The deadline passed in the queue, after {waited:.1f} s."
            )
        elif waited_for_others and now + least > pending.deadline:
            error = Overloaded(f"After {waited:.1f} s in the queue the time left is too short.")
        else:
            return True
        self._drop(pending, "deadline")
        pending.future.set_exception(error)
        return False

    def _drop(self, pending: BatchItem, reason: str) -> None:
        if not pending.self_test:
            self._dropped(reason)
