"""A progress bar on a terminal, plain log lines everywhere else."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

logger = logging.getLogger(__name__)

LOG_EVERY_SECONDS = 10.0


def transfer(
    description: str, total_bytes: int | None, present_bytes: int = 0
) -> AbstractContextManager[Callable[[int], None]]:
    """Shows the progress and speed of a transfer. Yields a function that takes the bytes received
    since its last call.

    total_bytes: None where unknown. present_bytes: those received before this transfer.
    """
    if not _on_terminal():
        return nullcontext(_log_lines(description, total_bytes, present_bytes))
    from model_builder.system.progress_bars import transfer_bar

    return transfer_bar(description, total_bytes, present_bytes)


def _log_lines(
    description: str, total_bytes: int | None, present_bytes: int
) -> Callable[[int], None]:
    """Logs one line now, and at most one every LOG_EVERY_SECONDS while bytes arrive."""
    size = "" if total_bytes is None else f" ({total_bytes / 1e6:.1f} MB)"
    present = f", {present_bytes / 1e6:.1f} MB received earlier" if present_bytes else ""
    logger.info("%s%s%s", description, size, present)
    started = last = time.monotonic()
    received_bytes = 0

    def advance(more_bytes: int) -> None:
        nonlocal last, received_bytes
        received_bytes += more_bytes
        now = time.monotonic()
        if now - last >= LOG_EVERY_SECONDS:
            last = now
            logger.info(
                "%s: %.1f MB%s, %.2f MB/s",
                description,
                (present_bytes + received_bytes) / 1e6,
                "" if total_bytes is None else f" of {total_bytes / 1e6:.1f}",
                received_bytes / (now - started) / 1e6,
            )

    return advance


def counted(description: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Shows how many of `total` are done. Yields a function that takes the number done since its
    last call.
    """
    if not _on_terminal():
        logger.info("%s: %d", description, total)
        return nullcontext(_count_lines(description, total))
    from model_builder.system.progress_bars import count_bar

    return count_bar(description, total)


def _count_lines(description: str, total: int) -> Callable[[int], None]:
    """Logs at most one line every LOG_EVERY_SECONDS."""
    last, done = time.monotonic(), 0

    def advance(more: int) -> None:
        nonlocal last, done
        done += more
        now = time.monotonic()
        if now - last >= LOG_EVERY_SECONDS:
            last = now
            logger.info("%s: %d of %d", description, done, total)

    return advance


def step(description: str) -> AbstractContextManager[None]:
    """Shows a task of unknown length, with the time that it has taken."""
    if not _on_terminal():
        logger.info("%s", description)
        return nullcontext()
    from model_builder.system.progress_bars import spinner

    return spinner(description)


def _on_terminal() -> bool:
    """Whether stderr is a terminal. A process may have none."""
    stderr: TextIO | None = sys.stderr
    return stderr is not None and not stderr.closed and stderr.isatty()
