"""JSON lines and CSV: rows to bytes, and back to what a job needs to know of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from service.scoring.sinks.sink import KeptRow
from service.scoring.table import PREDICTIONS

# A spreadsheet takes a cell that begins with one of the first six for a formula; an apostrophe
# makes it text, and therefore marks itself.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
CLASS = ("class_id", "wnid", "label", "probability")


class Format(Protocol):
    """One format of lines. For rows of one schema."""

    def header(self) -> bytes: ...

    def encode(self, table: Any) -> bytes: ...

    def ends_record(self, line: bytes) -> bool:
        """Whether a record ends with this line; lines are given in order."""

    def kept(self, path: Path) -> Iterator[KeptRow]:
        """Of a file of whole records."""


class JsonLines:
    """One object a line: path, then the outputs, or error and error_code."""

    def header(self) -> bytes:
        return b""

    def encode(self, table: Any) -> bytes:
        lines = []
        for row in table.to_pylist():
            present = {name: value for name, value in row.items() if value is not None}
            lines.append(json.dumps(present) + "\n")
        return "".join(lines).encode()

    def ends_record(self, line: bytes) -> bool:
        return line.endswith(b"\n")

    def kept(self, path: Path) -> Iterator[KeptRow]:
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                best = (row.get(PREDICTIONS) or [{}])[0]
                yield KeptRow(
                    row["path"], best.get("label"), best.get("probability"), row.get("error_code")
                )


class Csv:
    """A line of names, then a record a row: path, the classes from the best on, other outputs as
    JSON, error, error_code. Text that a spreadsheet would compute has an apostrophe before it.

    top_k: classes in the predictions; None without predictions.
    """

    def __init__(self, outputs: tuple[str, ...], top_k: int | None) -> None:
        self._lists = [name for name in outputs if name != PREDICTIONS]
        self._top_k = top_k or 0
        classes = [
            name if rank == 0 else f"{name}_{rank + 1}"
            for rank in range(self._top_k)
            for name in CLASS
        ]
        self._names = ["path", *classes, *self._lists, "error", "error_code"]
        self._open_quotes = False

    def header(self) -> bytes:
        return _encoded([self._names])

    def encode(self, table: Any) -> bytes:
        return _encoded([self._cells(row) for row in table.to_pylist()])

    def ends_record(self, line: bytes) -> bool:
        # A line break within quotes is part of a cell.
        self._open_quotes ^= bool(line.count(b'"') % 2)
        return line.endswith(b"\n") and not self._open_quotes

    def kept(self, path: Path) -> Iterator[KeptRow]:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                probability = row.get("probability")
                yield KeptRow(
                    _plain(row["path"]),
                    _plain(row.get("label") or "") or None,
                    float(probability) if probability else None,
                    row["error_code"] or None,
                )

    def _cells(self, row: dict[str, Any]) -> list[Any]:
        classes: list[Any] = []
        for one in row.get(PREDICTIONS) or []:
            classes += [_text(value) if isinstance(value, str) else value for value in one.values()]
        classes += [""] * (len(CLASS) * self._top_k - len(classes))
        lists = [
            "" if row[name] is None else json.dumps(row[name], separators=(",", ":"))
            for name in self._lists
        ]
        return [
            _text(row["path"]),
            *classes,
            *lists,
            _text(row["error"] or ""),
            row["error_code"] or "",
        ]


def _encoded(rows: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(FORMULA) else value


def _plain(value: str) -> str:
    return value.removeprefix("'")
