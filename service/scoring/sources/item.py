"""One image of an input, before it is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Item:
    """path: its name in the output, valid UTF-8. read: its bytes; raises Unreadable.

    location: a path or address that any worker can read it from; None where only `read` can.
    in_turn: whether `read` must be called before the next item is taken, as in an archive.
    """

    path: str
    read: Callable[[], bytes]
    location: str | None = None
    in_turn: bool = False


class Source(Protocol):
    """Lists its images in the same order each time, and holds few of them at once."""

    def items(self) -> Iterator[Item]: ...

    def count(self) -> int | None:
        """How many there are, where that costs little to find out."""


def shown(path: str) -> str:
    r"""Valid UTF-8: a byte that is none is written as "\xff"."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
