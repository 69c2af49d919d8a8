"""One job at a time writes to an output on this machine."""

from __future__ import annotations

from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from service.scoring.errors import OutputMismatch
from service.scoring.filesystem import Place


def lock_output(output: Place) -> BaseFileLock | None:
    """Held until it is released or the process ends; None for other file systems, which have none.

    Raises OutputMismatch where another process holds it.
    """
    if not output.is_local:
        return None
    path = Path(output.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputMismatch(f"Another process writes to {output.uri}.") from None
    return lock
