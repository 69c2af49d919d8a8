"""The images that wait for a device, and what becomes of those that wait too long."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Generic

from service.batching.batch_sizes import BatchSizes
from service.batching.item import BatchItem, RowT
from service.batching.latency import LatencyEstimator
from service.batching.light_clients import LightClients
from service.batching.streams import Streams
from service.errors import DeadlineExceeded, Overloaded, ServiceError, ShuttingDown
from service.fairness.fair_queue import FairQueue

IDLE_WAIT_SECONDS = 1.0
# A batch waits so long at most for a client with few images, whose image is being decoded.
MOST_HELD_SECONDS = 0.01


class BatchQueue(Generic[RowT]):
    """Takes images from any thread and gives batches to the workers' threads.

    Clients take turns, and within a client its requests; every image costs a turn. A priority holds
    among the requests of one client. While clients with few images wait for one with many, batches
    are short, so that they wait a short time for the batch that runs, and theirs have no images of
    that one; where batches divide the device, these have all of it, one after another, since beside
    one of the other client theirs would take twice as long. Where only clients with many wait, a
    batch is begun a little later for an image of one with few that is being decoded.
    Its length is limited by Admission. dropped: called with the reason, "cancelled" or "deadline",
    when an image leaves the queue without inference; not for self-tests. lock: held around several
    calls where the queue must not change between them. coming: images of each client that were
    admitted and are being decoded, as Admission counts them. streams: of the
    workers that call `next_batch`; by default of one.
    """

    def __init__(
        self,
        *,
        batch_sizes: BatchSizes,
        latency: LatencyEstimator,
        dropped: Callable[[str], None],
        streams: Streams | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.closing = False
        self.coming: Counter[str] = Counter()
        self._batch_sizes = batch_sizes
        self._latency = latency
        self._dropped = dropped
        self._streams = streams or Streams(1, shared=False)
        self._waiting: FairQueue[BatchItem[RowT]] = FairQueue()
        # Items that one worker alone may run, by its index.
        self._pinned: dict[int, list[BatchItem[RowT]]] = {}
        self._changed = threading.Condition(self.lock)
        self._light = LightClients(self._waiting, batch_sizes, latency, self._streams)

    @property
    def depth(self) -> int:
        return len(self._waiting)

    def waiting_by_client(self) -> dict[str, int]:
        """How many images wait, of each client that has any; a copy."""
        with self.lock:
            return self._waiting.waiting_by_client()

    def put(self, pending: BatchItem[RowT]) -> None:
        """Raises ShuttingDown."""
        with self.lock:
            if self.closing:
                raise ShuttingDown("The service is shutting down.")
            if pending.worker is not None:
                self._pinned.setdefault(pending.worker, []).append(pending)
                self._changed.notify_all()
                return
            self._waiting.put(
                pending,
                client=pending.client,
                request=pending if pending.request is None else pending.request,
                priority=pending.priority,
            )
            self._changed.notify()

    def next_batch(self, worker: int = 0) -> list[BatchItem[RowT]]:
        """Images that are not cancelled, at least one; none once the queue is closed and empty.

        The worker's batch before it is done.
        """
        self.done(worker)
        while True:
            with self.lock:
                if not self._wait_for_images(worker):
                    return []
                now = time.monotonic()
                whole = self._light.whole(now)
                batch: list[BatchItem[RowT]] = []
                pinned = self._pinned.get(worker, [])
                wanted, few = self._light.wanted(len(pinned), now), False
                while (pinned or self._waiting) and len(batch) < wanted:
                    if not pinned:
                        before, few = few, self._light.next_has_few()
                        if before and not few and len(batch) >= self._light.alone:
                            break
                    pending = pinned.pop(0) if pinned else self._take()
                    if self._claim(pending):
                        batch.append(pending)
                    elif pending.worker is None:
                        # It costs the device nothing.
                        self._waiting.charge(pending.client, -1.0)
                if batch:
                    # One self-test may be alone, and so that is tested too.
                    alone = len(batch) == 1 and batch[0].worker in (None, 0)
                    alone = alone and not self._waiting
                    self._streams.begin(worker, alone=alone or whole)
                    return batch

    def done(self, worker: int) -> None:
        """Its batch is done, or not waited for any more."""
        with self.lock:
            self._streams.end(worker)
            self._changed.notify_all()

    def discard_cancelled(self, pending: BatchItem[RowT]) -> None:
        """Removes a cancelled image, which would count towards the limit."""
        if not pending.future.cancelled():
            return
        with self.lock:
            if not self._waiting.remove(pending):
                return
        self._drop(pending, "cancelled")

    def close(self) -> None:
        """Refuses new images; `next_batch` returns those that wait, and then nothing."""
        with self.lock:
            self.closing = True
            self._changed.notify_all()

    def clear(self) -> list[BatchItem[RowT]]:
        """Removes every image and returns them; the caller sets their results."""
        with self.lock:
            pinned = [one for items in self._pinned.values() for one in items]
            left = [*self._waiting.clear(), *pinned]
            self._pinned = {}
        return left

    def _wait_for_images(self, worker: int) -> bool:
        """Until this worker may begin a batch. False once the queue is closed and empty."""
        held_until: float | None = None
        while True:
            now = time.monotonic()
            pinned = bool(self._pinned.get(worker))
            if self._held or not (self._waiting or pinned):
                if self.closing and not self._held:
                    return False
                self._changed.wait(IDLE_WAIT_SECONDS)
            elif not pinned and self._light.waits_for_device(now):
                self._changed.wait(IDLE_WAIT_SECONDS)
            elif pinned or self.closing or not self._light.only_come(dict(self.coming)):
                return True
            else:
                if held_until is None:
                    smallest = self._latency.batch_seconds(self._batch_sizes.sizes[0])
                    held_until = now + min(MOST_HELD_SECONDS, smallest)
                if now >= held_until:
                    return True
                self._changed.wait(held_until - now)

    @property
    def _held(self) -> bool:
        """Whether a batch has the whole device."""
        return self._streams.alone is not None

    def _take(self) -> BatchItem[RowT]:
        """The image whose turn it is."""
        self._light.note_taken(self._waiting.next_client, time.monotonic())
        return self._waiting.pop()

    def _claim(self, pending: BatchItem[RowT]) -> bool:
        if not pending.future.set_running_or_notify_cancel():
            self._drop(pending, "cancelled")
            return False
        now = time.monotonic()
        waited = now - pending.submitted
        # An image that waited behind others is not run when it can't be done in time. One that did
        # not wait is run: it updates the latency estimate.
        smallest = self._batch_sizes.sizes[0]
        waited_for_others = waited > self._latency.batch_seconds(smallest)
        least = self._latency.slowest_seconds(smallest)
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

    def _drop(self, pending: BatchItem[RowT], reason: str) -> None:
        if not pending.self_test:
            self._dropped(reason)
