"""Looks after the models' workers and canaries, and ends a process that can't recover."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from service.inference.repository import ModelRepository
from service.system.memory import trim_memory

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# A look that comes later than that says that the whole process was stopped, not that it is stuck.
PAUSED_SECONDS = 3.0
# After a queue longer than a batch, and so long without one: the load is over.
RESTED_SECONDS = 2.0


class Watchdog:
    """A thread that looks at every model twice a second.

    canary_interval_seconds: between canaries; 0 sends none. exit_seconds: a model whose canary or
    worker has been wrong for so long, without a break, is given up: `on_lost` is called with why,
    once. 0 never gives up.
    """

    def __init__(
        self,
        registry: ModelRepository,
        *,
        self_test_interval_seconds: float,
        exit_seconds: float,
        on_lost: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._interval = self_test_interval_seconds
        self._exit_seconds = exit_seconds
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._unhealthy_seconds = 0.0
        self._pressed = False
        self._rested_seconds = 0.0
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _watch(self) -> None:
        looked = time.monotonic()
        while not self._stop.wait(POLL_SECONDS):
            now = time.monotonic()
            passed, looked = now - looked, now
            if passed > PAUSED_SECONDS:
                continue
            try:
                self._poll(passed)
            except Exception:
                logger.exception("The watchdog could not look")

    def _poll(self, passed_seconds: float) -> None:
        for model in self._registry.models:
            model.check_health(self._interval)
        self._tidy(passed_seconds)
        problems = self._registry.unrecoverable_problems()
        self._unhealthy_seconds = self._unhealthy_seconds + passed_seconds if problems else 0.0
        if self._exit_seconds and self._unhealthy_seconds >= self._exit_seconds:
            self._stop.set()
            reason = "; ".join(problems)
            logger.critical("Unwell for %.0f s, giving up: %s", self._unhealthy_seconds, reason)
            self._on_lost(reason)

    def _tidy(self, passed_seconds: float) -> None:
        """Once after a load, not whenever it is quiet: to have the memory again takes time."""
        models = self._registry.models
        waiting = any(model.queue_depth for model in models)
        self._pressed |= any(model.queue_depth > model.plan.largest for model in models)
        self._rested_seconds = 0.0 if waiting else self._rested_seconds + passed_seconds
        if self._pressed and self._rested_seconds >= RESTED_SECONDS:
            self._pressed = False
            trim_memory()
