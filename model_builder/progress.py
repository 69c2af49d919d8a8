"""A progress bar on a terminal, plain log lines everywhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

logger = logging.getLogger(__name__)


@contextmanager
def transfer(description: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """Shows bytes as they come. Yields a function that is told how many more there are."""
    console = Console(stderr=True)
    if not console.is_terminal:
        size = "" if total_bytes is None else f" ({total_bytes / 1e6:.0f} MB)"
        logger.info("%s%s", description, size)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total_bytes)
        yield lambda received_bytes: progress.advance(task, received_bytes)


@contextmanager
def step(description: str) -> Iterator[None]:
    """Shows that something of unknown length is going on, and for how long."""
    console = Console(stderr=True)
    if not console.is_terminal:
        logger.info("%s", description)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        progress.add_task(description, total=None)
        yield
