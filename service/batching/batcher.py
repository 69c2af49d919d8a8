"""Groups single images into batches: one queue, one worker thread for each device.

The batcher adds no delay: an idle device takes the images that wait, up to the largest batch, and
the next batch gathers while it runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Generic

from service.batching.batch_sizes import BatchSizes
from service.batching.item import (
    BatchFn,
    BatchItem,
    BatchObserver,
    Pixels,
    Result,
    RowT,
    Worker,
    fail,
    pad_batch,
    row_of,
)
from service.batching.latency import LatencyEstimator
from service.batching.queue import BatchQueue
from service.batching.streams import Streams
from service.errors import InferenceFailed, ServiceError, ShuttingDown, WorkerLost

logger = logging.getLogger(__name__)

RESTART_SECONDS = 0.1


class Batcher(Generic[RowT]):
    """Runs batches on one or more devices, each in its own thread.

    runs: one function for each worker. It receives only sizes N of `batch_sizes`; smaller batches
        are padded with zeros. alone: runs a batch while no other runs, where `runs` share a device.
        divided: whether they do so yet; until then `alone` runs each. coming: of `BatchQueue`.
    """

    def __init__(
        self,
        runs: Sequence[BatchFn[RowT]],
        *,
        batch_sizes: BatchSizes,
        observer: BatchObserver,
        alone: BatchFn[RowT] | None = None,
        divided: Callable[[], bool] = lambda: True,
        name: str = "batcher",
    ) -> None:
        self.latency = LatencyEstimator(batch_sizes)
        self._batch_sizes = batch_sizes
        self._observer = observer
        self._alone = alone or runs[0]
        self._divided = divided
        self._streams = Streams(len(runs), shared=alone is not None, divided=divided)
        self._queue: BatchQueue[RowT] = BatchQueue(
            batch_sizes=batch_sizes,
            latency=self.latency,
            dropped=observer.dropped,
            streams=self._streams,
        )
        self.coming = self._queue.coming
        self._workers = [
            Worker(index, run, self._work, f"{name}-{index}") for index, run in enumerate(runs)
        ]

    def start(self) -> None:
        for worker in self._workers:
            worker.thread.start()

    @property
    def alive(self) -> bool:
        """Whether every worker runs."""
        return all(worker.thread.is_alive() for worker in self._workers)

    @property
    def stuck(self) -> bool:
        """Whether a worker has been in one batch for longer than the stuck timeout."""
        return any(worker.stuck for worker in self._workers)

    @property
    def depth(self) -> int:
        """Images that wait; those in a batch are not counted."""
        return self._queue.depth

    @property
    def images_per_second(self) -> float:
        """Throughput of all devices together, by the estimated latency."""
        largest = self._batch_sizes.largest
        return len(self._workers) * largest / self.latency.batch_seconds(largest)

    def waiting_by_client(self) -> dict[str, int]:
        """Images that wait, of each client that has any; a copy."""
        return self._queue.waiting_by_client()

    def seconds_until(self, ahead: int, *, waiting: int) -> float:
        """Estimated time until the first so many of the images that wait would have their results.

        waiting: all that wait then; others of them fill the last batch.
        """
        now, batch_seconds = time.monotonic(), self.latency.batch_seconds
        idle_in = min(
            max(0.0, batch_seconds(worker.size) + worker.since - now) if worker.batch else 0.0
            for worker in self._workers
        )
        return idle_in + self.latency.seconds_for(
            ahead, waiting=waiting, devices=len(self._workers)
        )

    def submit(
        self,
        pixels: Pixels,
        *,
        deadline: float,
        outputs: frozenset[str] = frozenset(),
        priority: int = 0,
        self_test: bool = False,
        worker: int | None = None,
        client: str = "",
        request: Hashable = None,
    ) -> Future[Result[RowT]]:
        """Queues one image, uint8 [H, W, 3].

        deadline: on the clock of `time.monotonic`. Cancelling the future takes the image out of the
        queue. outputs: passed to the batch function. self_test: the observer does not count it.
        worker: the index of the only worker that may run it; such an image goes before the others.
        priority, client, request: those of `BatchItem`.
        Raises ShuttingDown or WorkerLost. The future may raise DeadlineExceeded, Overloaded,
        InferenceFailed or WorkerLost.
        """
        pending: BatchItem[RowT] = BatchItem(
            pixels, deadline, self_test, outputs, priority, worker, client, request
        )
        with self._queue.lock:
            if not self._queue.closing and all(worker.stuck for worker in self._workers):
                raise WorkerLost("The device has not answered for a while.")
            self._queue.put(pending)
        pending.future.add_done_callback(lambda _: self._queue.discard_cancelled(pending))
        return pending.future

    def fail_stuck_batches(self, stuck_timeout_seconds: float) -> None:
        """Fails the images of batches that have taken longer, with WorkerLost.

        Fails the waiting images too where every worker is stuck. A worker whose batch returns after
        all takes images again.
        """
        now = time.monotonic()
        with self._queue.lock:
            late = [
                worker
                for worker in self._workers
                if worker.busy_seconds(now) > stuck_timeout_seconds and not worker.stuck
            ]
            for worker in late:
                worker.stuck = True
                self._queue.done(worker.index)
            lost = [pending for worker in late for pending in worker.batch]
            if late and all(worker.stuck for worker in self._workers):
                lost += self._queue.clear()
        for worker in late:
            logger.error("%s is stuck: %.1f s in a batch", worker.thread.name, now - worker.since)
            self._observer.worker_failed("stuck")
        for pending in lost:
            fail(pending.future, WorkerLost("The device does not answer."))

    def close(self, timeout_seconds: float) -> bool:
        """Finishes what is queued and ends the workers. Returns whether that was done in time."""
        self._queue.close()
        end = time.monotonic() + timeout_seconds
        threads = [worker.thread for worker in self._workers]
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))
        for pending in self._queue.clear():
            fail(pending.future, ShuttingDown("The service is shutting down."))
        return not any(thread.is_alive() for thread in threads)

    def _work(self, worker: Worker[RowT]) -> None:
        """Runs until the queue is closed. An exception fails its own batch and no other."""
        while True:
            try:
                while batch := self._queue.next_batch(worker.index):
                    worker.size = self._batch_sizes.padded_size(len(batch))
                    worker.since, worker.batch = time.monotonic(), batch
                    self._run_batch(worker)
                    worker.batch, worker.stuck = [], False
                return
            except BaseException:
                logger.exception("%s died and is restarted", worker.thread.name)
                lost, worker.batch, worker.stuck = worker.batch, [], False
                for pending in lost:
                    fail(pending.future, WorkerLost("The device's worker died."))
                self._observer.worker_failed("died")
                time.sleep(RESTART_SECONDS)  # Limits the rate of restarts.

    def _run_batch(self, worker: Worker[RowT]) -> None:
        """Sets a result or an error for every image of the batch."""
        batch, size = worker.batch, worker.size
        run = self._alone if self._streams.alone == worker.index else worker.run
        started = time.monotonic()
        images = sum(not pending.self_test for pending in batch)
        try:
            wanted: frozenset[str] = frozenset().union(*(pending.outputs for pending in batch))
            rows = run(pad_batch(batch, size), wanted)
            if len(rows) < len(batch):
                raise RuntimeError(f"{len(rows)} rows for a batch of {len(batch)}")
        except Exception as error:
            if images:
                self._observer.batch_failed(images)
            logger.exception("A batch of %d failed", len(batch))
            for pending in batch:
                failure = InferenceFailed("Inference failed.")
                failure.__cause__ = error
                fail(pending.future, failure)
            return
        except BaseException:
            if images:
                self._observer.batch_failed(images)
            raise
        inference_seconds = time.monotonic() - started
        beside = 1 if run is worker.run else len(self._workers)
        if beside > 1 and self._divided():  # Estimates are of a batch beside the others'.
            self.latency.observe_whole(size, inference_seconds)
        else:
            self.latency.observe(size, inference_seconds * beside)
        outcomes = [row_of(rows, index) for index in range(len(batch))]
        waits = [started - pending.submitted for pending in batch]
        if images:
            served = [
                wait
                for pending, outcome, wait in zip(batch, outcomes, waits, strict=True)
                if not pending.self_test and not isinstance(outcome, ServiceError)
            ]
            self._observer.batch_done(served, inference_seconds, failed=images - len(served))
        for pending, outcome, wait in zip(batch, outcomes, waits, strict=True):
            if isinstance(outcome, ServiceError):
                fail(pending.future, outcome)
                continue
            try:
                pending.future.set_result(Result(outcome, wait, inference_seconds, len(batch)))
            except InvalidStateError:
                logger.warning("A result came after its image had failed as stuck")
