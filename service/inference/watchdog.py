"""Polls the models' workers and self-tests, and reports a process that can't recover."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from service.inference.repository import ModelRepository
from service.system.memory import trim_memory

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# A longer gap between polls means that the whole process was suspended, not that a worker is stuck.
SUSPENDED_SECONDS = 3.0
# The load is over after this long without a queue.
IDLE_SECONDS = 2.0
# Bodies that were held leave buffers of the server behind, about a tenth of their size.
LARGE_BYTES = 32 * 2**20


class Watchdog:
    """A thread that polls every model, and calls `check_others` each time.

    self_test_interval_seconds: time between self-tests; 0 turns them off. exit_seconds: when a
    worker or self-test has had a problem for this long without a break, `on_lost` is called once
    with the problem; 0: never. held_bytes: what requests hold now; any thread may ask.
    """

    def __init__(
        self,
        repository: ModelRepository,
        *,
        self_test_interval_seconds: float,
        exit_seconds: float,
        on_lost: Callable[[str], None],
        check_others: Callable[[], object] = lambda: None,
        held_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        self._repository = repository
        self._interval = self_test_interval_seconds
        self._exit_seconds = exit_seconds
        self._on_lost = on_lost
        self._check_others = check_others
        self._held_bytes = held_bytes
        self._stop = threading.Event()
        self._unhealthy_seconds = 0.0
        self._was_loaded = False
        self._idle_seconds = 0.0
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _watch(self) -> None:
        polled = time.monotonic()
        while not self._stop.wait(POLL_SECONDS):
            now = time.monotonic()
            passed, polled = now - polled, now
            if passed > SUSPENDED_SECONDS:
                continue
            try:
                self._poll(passed)
            except Exception:
                logger.exception("The watchdog's poll failed")

    def _poll(self, passed_seconds: float) -> None:
        for model in self._repository.models:
            model.check_health(self._interval)
        self._check_others()
        self._trim_after_load(passed_seconds)
        problems = self._repository.unrecoverable_problems()
        self._unhealthy_seconds = self._unhealthy_seconds + passed_seconds if problems else 0.0
        if self._exit_seconds and self._unhealthy_seconds >= self._exit_seconds:
            self._stop.set()
            reason = "; ".join(problems)
            logger.critical("Unhealthy for %.0f s, giving up: %s", self._unhealthy_seconds, reason)
            self._on_lost(reason)

    def _trim_after_load(self, passed_seconds: float) -> None:
        """Once after each load, not at every pause: to allocate the memory again costs time."""
        models = self._repository.models
        large = self._held_bytes() > LARGE_BYTES
        waiting = large or any(model.queue_depth for model in models)
        self._was_loaded |= large or any(
            model.queue_depth > model.batch_sizes.largest for model in models
        )
        self._idle_seconds = 0.0 if waiting else self._idle_seconds + passed_seconds
        if self._was_loaded and self._idle_seconds >= IDLE_SECONDS:
            self._was_loaded = False
            trim_memory()
