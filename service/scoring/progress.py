"""Progress of a job on a terminal, and as log lines everywhere else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from model_builder.system.printable import printable
from model_builder.system.progress import LOG_EVERY_SECONDS
from service.scoring.summary import Summary

logger = logging.getLogger(__name__)

Observe = Callable[[Summary], None]


class Total:
    """How many images there are, found out beside the work; None until it is known, or for ever."""

    def __init__(self, count: Callable[[], int | None]) -> None:
        self.images: int | None = None
        self._count = count
        threading.Thread(target=self._find, name="count", daemon=True).start()

    def _find(self) -> None:
        try:
            self.images = self._count()
        # The job itself says what is wrong with its input.
        except Exception as error:
            logger.debug("The input can't be counted: %s", error)


@contextmanager
def progress(description: str, total: Total) -> Iterator[Observe]:
    """Shows images done, rate, errors and time left. Yields a function to call with the figures."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _log_lines(description, total)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f}/s", markup=False),
        TextColumn("{task.fields[errors]} bad", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(printable(description), total=None, rate=0.0, errors=0)
        started = time.monotonic()

        def observe(summary: Summary) -> None:
            bar.update(
                task,
                completed=summary.images,
                total=total.images,
                rate=summary.scored_now / max(1e-3, time.monotonic() - started),
                errors=summary.failed,
            )

        yield observe


def _log_lines(description: str, total: Total) -> Observe:
    """At most one every LOG_EVERY_SECONDS."""
    started = last = time.monotonic()

    def observe(summary: Summary) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LOG_EVERY_SECONDS:
            return
        last = now
        rate = summary.scored_now / (now - started)
        left = ""
        if total.images is not None and rate:
            left = f" of {total.images}, {(total.images - summary.images) / rate:.0f} s left"
        logger.info(
            "%s: %d images%s, %.1f a second, %d bad",
            *(description, summary.images, left, rate, summary.failed),
        )

    return observe
