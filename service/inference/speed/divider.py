"""Divides the models' engines while they serve already, one model after the other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from service.inference.model import Model
from service.system.memory import trim_memory

logger = logging.getLogger(__name__)

# A model that takes longer is reported, once.
SLOW_SECONDS = 60.0


class Divider:
    """A thread that calls each model's `divide`; it ends after the last.

    A model that can't be divided stays as it is: its engine runs one batch at a time. So does one
    whose division hangs, and those after it.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        # The model at work, and since when.
        self._current: tuple[str, float] | None = None

    def start(self, models: Iterable[Model]) -> None:
        """Returns at once; starts nothing where every model is divided already."""
        wanted = [model for model in models if not model.divided]
        if not wanted or self._stop.is_set():
            return
        self._thread = threading.Thread(
            target=self._divide_all, args=(wanted,), name="divider", daemon=True
        )
        self._thread.start()

    def check(self) -> None:
        """Reports a model that takes too long. Call it regularly."""
        if (current := self._current) is None:
            return
        name, since = current
        if time.monotonic() - since > SLOW_SECONDS:
            self._current = None
            logger.error(
                "%s: dividing the CPU among its batches takes more than %g s; meanwhile it runs "
                "one batch at a time",
                name,
                SLOW_SECONDS,
            )

    def stop(self, timeout_seconds: float) -> bool:
        """Begins no other model and waits for the one at work. Returns whether that ended.

        Native code that returns while the interpreter ends would abort the process.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        return self._thread is None or not self._thread.is_alive()

    def _divide_all(self, models: list[Model]) -> None:
        for model in models:
            if self._stop.is_set():
                return
            started = time.monotonic()
            self._current = (model.name, started)
            try:
                model.divide()
            except Exception as error:
                logger.error(
                    "%s goes on with one batch at a time: %s: %s",
                    model.name,
                    type(error).__name__,
                    error,
                )
                continue
            finally:
                self._current = None
            logger.info(
                "%s runs %d batches at the same time from now on, after %.1f s",
                model.name,
                model.batches_at_once,
                time.monotonic() - started,
            )
        trim_memory()
