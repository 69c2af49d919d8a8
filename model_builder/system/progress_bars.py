"""Progress on a terminal. Imports Rich, whose tables of spinners and emoji take 0.1 s to load:
import it only to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from model_builder.system.printable import printable


@contextmanager
def transfer_bar(
    description: str, total_bytes: int | None, present_bytes: int
) -> Iterator[Callable[[int], None]]:
    """Yields a function that takes the bytes received since its last call."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with _drawn(description, *columns, total=total_bytes, completed=present_bytes) as advance:
        yield advance


@contextmanager
def count_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that takes the number done since its last call."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _drawn(description, *columns, total=total) as advance:
        yield advance


@contextmanager
def spinner(description: str) -> Iterator[None]:
    """A task of unknown length, with the time that it has taken."""
    with _drawn(description, TimeElapsedColumn(), before=(SpinnerColumn(),), total=None):
        yield


@contextmanager
def _drawn(
    description: str,
    *columns: ProgressColumn,
    total: int | None,
    completed: int = 0,
    before: tuple[ProgressColumn, ...] = (),
) -> Iterator[Callable[[int], None]]:
    text = TextColumn("{task.description}", markup=False)
    with Progress(*before, text, *columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(printable(description), total=total, completed=completed)
        yield lambda more: progress.advance(task, more)
