"""The progress of a run: a bar on a terminal, elsewhere one line for each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def steps(total: int, console: Console) -> Iterator[Callable[[str], None]]:
    """Yields a function to call with the description of each step when it begins."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    started, begun = time.monotonic(), 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)

        def begin(description: str) -> None:
            nonlocal begun
            begun += 1
            progress.update(task, completed=begun - 1, description=description)
            if not console.is_terminal:
                seconds = time.monotonic() - started
                console.print(f"{begun}/{total} after {seconds:.0f} s: {description}")

        yield begin
        progress.update(task, completed=total, description="done")
