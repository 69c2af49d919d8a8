"""Images that are decoded in turns, by processes of one priority."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import DeadlineExceeded, ShuttingDown
from service.fairness.fair_queue import FairQueue
from service.fairness.precedence import Precedence
from service.imaging.decoder_process import Decoded, DecoderProcess

# Of a CPU, for a new process in place of one that was ended, its first image included.
RESTART_SECONDS = 0.01


@dataclass(slots=True, eq=False)
class Job:
    """One image. cost_seconds: an estimate of its decoding. expected_pixels: 0 for any number.

    outcome: what it decoded to and the seconds that it took, without its wait.
    """

    data: bytes | memoryview
    preprocessing: Preprocessing
    deadline: float
    client: str
    cost_seconds: float
    expected_pixels: int = 0
    cancelled: bool = False
    outcome: Future[tuple[Decoded, float]] = field(default_factory=Future)


class Lane:
    """A queue, and a thread for each process that takes images from it. For any thread.

    Clients take turns by the seconds that decoding took, within a client its requests. What
    `precedence` holds back is not begun.
    """

    def __init__(
        self, name: str, processes: Sequence[DecoderProcess], precedence: Precedence
    ) -> None:
        self._processes = tuple(processes)
        self._executor = ThreadPoolExecutor(len(processes), thread_name_prefix=name)
        self._lock = threading.Lock()
        self._precedence = precedence
        # Something came or left, or may be begun.
        self._changed = threading.Condition(self._lock)
        precedence.observe(self._notify)
        self._queue: FairQueue[Job] = FairQueue()
        self._running: dict[Job, DecoderProcess] = {}
        # The one that was used last comes first: a quiet service keeps to one of them.
        self._idle = deque(self._processes)
        self._closed = False

    @property
    def waiting(self) -> int:
        """Images that wait for a process."""
        return len(self._queue)

    def waiting_of(self, client: str) -> int:
        """How many of them are this client's."""
        return self._queue.waiting(client)

    def put(self, job: Job, *, request: Hashable, priority: int = 0) -> None:
        """Raises ShuttingDown."""
        with self._lock:
            if self._closed:
                raise ShuttingDown("The service is shutting down.")
            self._queue.put(
                job, client=job.client, request=request, cost=job.cost_seconds, priority=priority
            )
            if not self._precedence.held_seconds(job.client):
                # A thread may wait with an image that is held back.
                self._changed.notify()
            # Whichever image has its turn when a thread is free.
            self._executor.submit(self._next)

    def cancel(self, job: Job) -> bool:
        """Nobody waits for it any more. Returns whether it is being decoded: see `interrupt`."""
        with self._lock:
            job.cancelled = True
            self._changed.notify_all()
            return not self._queue.remove(job) and job in self._running

    def interrupt(self, job: Job) -> None:
        """Ends the process that decodes it; nothing where none does."""
        with self._lock:
            if (process := self._running.get(job)) is not None:
                process.interrupt()

    def submit(self, work: Callable[[], object]) -> Future[object]:
        """Does other work in one of the threads. Raises RuntimeError after `close`."""
        return self._executor.submit(work)

    def close(self) -> None:
        """Refuses what waits. What is being decoded ends with its process, which is not awaited."""
        with self._lock:
            self._closed = True
            waiting = self._queue.clear()
            self._changed.notify_all()
        self._executor.shutdown(wait=False, cancel_futures=True)
        for job in waiting:
            if job.outcome.set_running_or_notify_cancel():
                job.outcome.set_exception(ShuttingDown("The service is shutting down."))

    def join(self) -> None:
        """Waits for the threads, and ends the processes."""
        self._executor.shutdown()
        for process in self._processes:
            process.close()

    def _notify(self) -> None:
        with self._lock:
            self._changed.notify_all()

    def _wait_for_turn(self) -> str | None:
        """Until an image may be begun: its client. None once no image waits."""
        while self._queue:
            client = self._queue.next_client
            if not (held := self._precedence.held_seconds(client)):
                return client
            other = self._queue.first_client(lambda one: not self._precedence.held_seconds(one))
            if other is not None:
                return other
            self._changed.wait(held)
        return None

    def _next(self) -> None:
        with self._lock:
            client = self._wait_for_turn()
            if client is None:
                # The image that this was for has been cancelled.
                return
            job, process = self._queue.pop(client), self._idle.pop()
            self._running[job] = process
        started, pid = time.monotonic(), process.pid
        try:
            if not job.outcome.set_running_or_notify_cancel():
                return
            if started >= job.deadline:
                raise DeadlineExceeded("The deadline passed before the image was decoded.")
            decoded = process.decode(
                job.data,
                job.preprocessing,
                expected_pixels=job.expected_pixels,
                cancelled=lambda: job.cancelled,
            )
            job.outcome.set_result((decoded, time.monotonic() - started))
        except BaseException as error:
            job.outcome.set_exception(error)
        finally:
            seconds = time.monotonic() - started
            with self._lock:
                del self._running[job]
                self._idle.append(process)
                if pid is not None and process.pid != pid:
                    seconds += RESTART_SECONDS
                self._queue.charge(job.client, seconds - job.cost_seconds)
