"""Parquet with a column of images' bytes, or of their paths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from service.scoring.errors import InvalidInput, Unreadable
from service.scoring.filesystem import Place
from service.scoring.sources.folder import file_item
from service.scoring.sources.item import Item

# Looked for in this order; "image" of a Hugging Face data set is a struct of bytes and path.
COLUMNS = ("bytes", "image", "content", "path")
ROWS = 64


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """column: the one with bytes, structs of bytes, or paths; by default the first of COLUMNS.

    An image without a path is named by its file and row: "photos.parquet#17".
    """

    place: Place
    max_bytes: int
    column: str | None = None

    def items(self) -> Iterator[Item]:
        with self._open() as file:
            column = self._column(file.schema_arrow)
            kind = file.schema_arrow.field(column).type
            names = [column]
            if column != "path" and "path" in file.schema_arrow.names:
                names.append("path")
            row = 0
            for batch in file.iter_batches(batch_size=ROWS, columns=names):
                for values in batch.to_pylist():
                    yield self._item(values[column], values.get("path"), row, kind)
                    row += 1

    def count(self) -> int:
        with self._open() as file:
            rows: int = file.metadata.num_rows
        return rows

    def _item(self, value: Any, path: str | None, row: int, kind: Any) -> Item:
        named = f"{self.place.uri}#{row}"
        if isinstance(value, str):
            return file_item(value, self.max_bytes)
        if isinstance(value, dict):
            path, value = path or value.get("path"), value.get("bytes")
        if value is None and path and pa.types.is_struct(kind):
            return file_item(path, self.max_bytes)
        return Item(path or named, partial(_checked, value, self.max_bytes))

    def _column(self, schema: Any) -> str:
        wanted = [self.column] if self.column else COLUMNS
        found = next((name for name in wanted if name in schema.names), None)
        if found is not None and _is_usable(schema.field(found).type):
            return found
        raise InvalidInput(
            f"{self.place.uri} has no column {' or '.join(wanted)} of bytes or paths (--column). "
            f"Its columns: {', '.join(schema.names)}"
        )

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            with self.place.filesystem.open_input_file(self.place.path) as stream:
                yield parquet.ParquetFile(stream)
        except pa.ArrowInvalid as error:
            raise InvalidInput(f"{self.place.uri} can't be read as Parquet: {error}") from error


def _is_usable(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    tests = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_string,
        pa.types.is_large_string,
    )
    return any(test(kind) for test in tests)


def _checked(value: bytes | None, max_bytes: int) -> bytes:
    if value is None:
        raise Unreadable("the row has no bytes")
    if len(value) > max_bytes:
        raise Unreadable(f"it has {len(value)} bytes; at most {max_bytes} are read")
    return value
