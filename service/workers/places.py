"""The places of a machine's workers: each has a number, and a share of the CPUs and GPUs.

A place is a locked file in the workers' folder. The system releases the lock of a worker that
dies, so that its successor takes the same place.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SOCKET = ".socket"
_PLACE, _ALL = ".place", "places.lock"


@dataclass(frozen=True, slots=True)
class Place:
    """One worker's place.

    number: from 0, and of a rolling restart's additional worker from the number of workers on.
    share: 0 to workers - 1. folder: where the workers' sockets are. lock: held while it is open.
    """

    number: int
    share: int
    folder: Path
    lock: IO[str]

    @property
    def socket(self) -> Path:
        """Where the worker gives its metrics to the others."""
        return self.folder / f"{self.number}{SOCKET}"

    def release(self) -> None:
        """Gives it to another worker, as the end of the process does."""
        self.lock.close()


class PlaceTaken(Exception):
    """More workers run than there are places."""


def take_place(folder: Path, workers: int) -> Place:
    """The lowest free place, with the share that fewest have; of equal ones, the oldest's.

    In a rolling restart the successor starts first, beside the worker whose share it will have.
    Raises PlaceTaken where twice as many workers as `workers` run.
    """
    with _locked(folder / _ALL):
        others: list[tuple[float, int]] = []
        mine: tuple[int, IO[str]] | None = None
        for number in range(2 * workers):
            file = _open(folder / f"{number}{_PLACE}")
            if not _lock(file):
                started, share = file.read().split()
                others.append((float(started), int(share)))
                file.close()
            elif mine is None:
                mine = number, file
            else:
                file.close()
        if mine is None:
            raise PlaceTaken(f"{2 * workers} workers run already")
        number, file = mine
        place = Place(number, _share(others, workers), folder, file)
        file.truncate()
        file.write(f"{time.monotonic()} {place.share}")
        file.flush()
    return place


def sockets(folder: Path, workers: int) -> dict[int, Path]:
    """The socket of every place that may be taken, by its number."""
    paths = {number: folder / f"{number}{SOCKET}" for number in range(2 * workers)}
    return {number: path for number, path in paths.items() if path.exists()}


def _share(taken: list[tuple[float, int]], workers: int) -> int:
    shares = [share for _, share in sorted(taken)]
    by_age: list[int] = [*dict.fromkeys(shares), *range(workers)]
    return min(by_age, key=shares.count)


def _open(path: Path) -> IO[str]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
