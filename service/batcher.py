"""Groups single pictures into batches: one bounded queue, one worker thread a device.

The batcher waits for nobody: an idle device takes what is there, up to the largest batch, and
while it works the next batch gathers. It knows neither HTTP nor any framework.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from service.batch_plan import BatchPlan
from service.errors import DeadlineExceeded, InferenceFailed, QueueFull, ServiceError, ShuttingDown

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
Run = Callable[[Pixels], Array]

IDLE_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Result:
    """One picture's row of a batch's output, and what it cost."""

    output: Array
    queue_seconds: float
    inference_seconds: float
    batch_size: int


class BatchObserver(Protocol):
    """Told of what happens, from the worker's thread."""

    def batch_done(self, queue_seconds: Sequence[float], inference_seconds: float) -> None: ...

    def batch_failed(self, images: int) -> None: ...

    def dropped(self, reason: str) -> None: ...


@dataclass(slots=True, eq=False)
class _Pending:
    pixels: Pixels
    deadline: float
    submitted: float = field(default_factory=time.monotonic)
    future: Future[Result] = field(default_factory=Future)


class Batcher:
    """Runs batches on one or more devices, each by a thread of its own.

    runs: one function a device, uint8 [N, H, W, 3] to float32 [N, ...]. It is only given sizes N
        that are in `plan`; smaller batches are padded with zeros.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        *,
        plan: BatchPlan,
        queue_limit: int,
        observer: BatchObserver,
        name: str = "batcher",
    ) -> None:
        self._plan = plan
        self._queue_limit = queue_limit
        self._observer = observer
        self._waiting: deque[_Pending] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._working = len(runs)
        self._workers = [
            threading.Thread(target=self._work, args=(run,), name=f"{name}-{index}", daemon=True)
            for index, run in enumerate(runs)
        ]

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    @property
    def alive(self) -> bool:
        """Whether every worker runs."""
        return all(worker.is_alive() for worker in self._workers)

    @property
    def depth(self) -> int:
        """Pictures that wait, those under way not counted."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return self.depth >= self._queue_limit

    def submit(self, pixels: Pixels, *, deadline: float) -> Future[Result]:
        """Queues one picture, uint8 [H, W, 3].

        deadline: on the clock of `time.monotonic`. Cancel the future to give the place up.
        Raises QueueFull or ShuttingDown. The future may raise DeadlineExceeded or InferenceFailed.
        """
        pending = _Pending(pixels, deadline)
        with self._changed:
            if self._closing:
                raise ShuttingDown("The service is shutting down.")
            if self._working == 0:
                raise InferenceFailed("No worker is alive.")
            if self.full:
                raise QueueFull(f"{self.depth} pictures are waiting, and that is the limit.")
            self._waiting.append(pending)
            self._changed.notify()
        return pending.future

    def close(self, timeout_seconds: float) -> bool:
        """Finishes what is queued and ends the workers. Whether that was done in time."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        end = time.monotonic() + timeout_seconds
        for worker in self._workers:
            if worker.ident is not None:
                worker.join(max(0.0, end - time.monotonic()))
        self._fail_waiting(ShuttingDown("The service is shutting down."))
        return not any(worker.is_alive() for worker in self._workers)

    def _work(self, run: Run) -> None:
        try:
            while batch := self._next_batch():
                self._run_batch(run, batch)
        except BaseException:
            logger.exception("A worker of the batcher died")
            raise
        finally:
            with self._changed:
                self._working -= 1
                last = self._working == 0
            if last:
                self._fail_waiting(InferenceFailed("No worker is alive."))

    def _next_batch(self) -> list[_Pending]:
        """At least one picture that somebody still waits for, or nothing when it is time to end."""
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closing:
                        return []
                    self._changed.wait(IDLE_WAIT_SECONDS)
                batch: list[_Pending] = []
                wanted = self._plan.take(len(self._waiting))
                while self._waiting and len(batch) < wanted:
                    pending = self._waiting.popleft()
                    if self._claim(pending):
                        batch.append(pending)
            if batch:
                return batch

    def _claim(self, pending: _Pending) -> bool:
        if not pending.future.set_running_or_notify_cancel():
            self._observer.dropped("cancelled")
            return False
        waited = time.monotonic() - pending.submitted
        if time.monotonic() >= pending.deadline:
            self._observer.dropped("deadline")
            error = DeadlineExceeded(f"The deadline passed in the queue, after {waited:.1f} s.")
            pending.future.set_exception(error)
            return False
        return True

    def _run_batch(self, run: Run, batch: list[_Pending]) -> None:
        """Answers every picture of the batch, whatever happens."""
        started = time.monotonic()
        try:
            outputs = run(self._padded(batch))
            if len(outputs) < len(batch):
                raise RuntimeError(f"{len(outputs)} outputs for a batch of {len(batch)}")
        except BaseException as error:
            self._observer.batch_failed(len(batch))
            logger.exception("A batch of %d failed", len(batch))
            for pending in batch:
                failure = InferenceFailed("Inference failed.")
                failure.__cause__ = error
                _finish(pending.future, failure)
            if not isinstance(error, Exception):
                raise
            return
        inference_seconds = time.monotonic() - started
        waits = [started - pending.submitted for pending in batch]
        self._observer.batch_done(waits, inference_seconds)
        for pending, output, wait in zip(batch, outputs, waits, strict=False):
            pending.future.set_result(Result(output, wait, inference_seconds, len(batch)))

    def _padded(self, batch: list[_Pending]) -> Pixels:
        pixels = np.zeros((self._plan.padded(len(batch)), *batch[0].pixels.shape), np.uint8)
        for row, pending in zip(pixels, batch, strict=False):
            row[...] = pending.pixels
        return pixels

    def _fail_waiting(self, error: ServiceError) -> None:
        with self._changed:
            left, self._waiting = list(self._waiting), deque()
        for pending in left:
            _finish(pending.future, error)


def _finish(future: Future[Any], error: ServiceError) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:
        logger.debug("A cancelled picture needs no answer")
