"""Lists of paths and addresses: lines of text, or a column of a CSV file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import csv

from service.scoring.errors import InvalidInput
from service.scoring.filesystem import Place
from service.scoring.sources.folder import file_item
from service.scoring.sources.item import Item

CHUNK_BYTES = 1 << 16
# A file without line breaks is no list.
MAX_PATH_BYTES = 1 << 16
PATH = "path"


@dataclass(frozen=True, slots=True)
class LineSource:
    """One path a line, or, with `separator` NUL, as `find -print0` writes them.

    place: None for standard input, which can be read once.
    """

    place: Place | None
    max_bytes: int
    separator: bytes = b"\n"

    def items(self) -> Iterator[Item]:
        for line in self._lines():
            path = line if self.separator == b"\0" else line.removesuffix(b"\r")
            if path:
                yield file_item(os.fsdecode(path), self.max_bytes)

    def count(self) -> int | None:
        return None if self.place is None else sum(1 for line in self._lines() if line.strip())

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        with self._open() as stream:
            # `read1`: a list that comes through a pipe is begun with before it ends.
            while (
                chunk := stream.read1(CHUNK_BYTES)
                if self.place is None
                else stream.read(CHUNK_BYTES)
            ):
                *lines, rest = (rest + chunk).split(self.separator)
                yield from lines
                if len(rest) > MAX_PATH_BYTES:
                    raise InvalidInput(
                        f"A list has one path a line. Received: a line of more than "
                        f"{MAX_PATH_BYTES} bytes"
                    )
        yield rest

    def _open(self) -> Any:
        if self.place is None:
            return nullcontext(sys.stdin.buffer)
        return self.place.filesystem.open_input_stream(self.place.path)


@dataclass(frozen=True, slots=True)
class CsvSource:
    """A column of paths; the first line names the columns. column: by default "path"."""

    place: Place
    max_bytes: int
    column: str | None = None
    delimiter: str = ","

    def items(self) -> Iterator[Item]:
        wanted = self.column or PATH
        with self.place.filesystem.open_input_stream(self.place.path) as stream:
            try:
                reader = csv.open_csv(
                    stream,
                    parse_options=csv.ParseOptions(
                        delimiter=self.delimiter, newlines_in_values=True
                    ),
                    # A path of digits is no number.
                    convert_options=csv.ConvertOptions(
                        include_columns=[wanted], column_types={wanted: pa.string()}
                    ),
                )
                for batch in reader:
                    for path in batch.column(0).to_pylist():
                        if path:
                            yield file_item(path, self.max_bytes)
            except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
                raise InvalidInput(
                    f"{self.place.uri} has no readable column {wanted!r} (--column): {error}"
                ) from error

    def count(self) -> int:
        return sum(1 for _ in self.items())
