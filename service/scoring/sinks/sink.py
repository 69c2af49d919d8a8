"""Where rows go, in the order of the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from service.scoring.table import PREDICTIONS


@dataclass(frozen=True, slots=True)
class KeptRow:
    """What a job needs to know of a row that was written. label, probability: of the best class,
    None where the row has no predictions.
    """

    path: str
    label: str | None
    probability: float | None
    error_code: str | None


class Sink(Protocol):
    """Rows are written once, in order; what is written stays, however the process ends."""

    def kept(self) -> Iterator[KeptRow]:
        """The rows of earlier runs, in order. To be read to its end before anything is added."""

    def add(self, table: Any) -> None:
        """The next rows."""

    def finish(self, *, complete: bool) -> None:
        """Writes what was added. complete: whether the input has ended."""

    def close(self) -> None:
        """Lets go of the output; what was added and not written is lost."""


def kept_rows(table: Any) -> Iterator[KeptRow]:
    """Of a table with path, error_code and perhaps predictions."""
    paths = table.column("path").to_pylist()
    codes = table.column("error_code").to_pylist()
    best: list[Any] = [None] * len(paths)
    if PREDICTIONS in table.column_names:
        best = table.column(PREDICTIONS).to_pylist()
    for path, code, predictions in zip(paths, codes, best, strict=True):
        first = predictions[0] if predictions else {}
        yield KeptRow(path, first.get("label"), first.get("probability"), code)
