"""Parquet: a folder of parts, each published as a whole, or one file that is made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import BaseFileLock
from pyarrow import parquet

from service.scoring.errors import OutputMismatch
from service.scoring.filesystem import Place
from service.scoring.identity import check_same
from service.scoring.sinks.lock import lock_output
from service.scoring.sinks.sink import KeptRow, kept_rows
from service.scoring.table import PREDICTIONS, metadata_of, with_metadata

RECORD = "_score.json"
PART = re.compile(r"part-(\d{12})\.parquet")
# What a process that was killed was about to publish.
UNPUBLISHED = re.compile(r"\.(.+)\.[0-9a-f]{32}")
# A part that is not published yet is lost with the process: a small part of what came before it.
SMALLEST, LARGEST, FRACTION = 64, 8192, 256
ROW_GROUP = 8192
COMPRESSION = "zstd"


def part_rows(start: int) -> int:
    """How many rows the part has that begins with row `start`."""
    return min(LARGEST, max(SMALLEST, start // FRACTION))


class ParquetSink:
    """Parts named by the position of their first row, beside a record of the job.

    folder: of the parts. file: where all of them are put together when the input has ended, if
    that is wanted; the folder then goes. schema: of the tables. record: of the job.
    Raises OutputMismatch where the output is another job's.
    """

    def __init__(
        self, folder: Place, file: Place | None, schema: Any, record: Mapping[str, Any]
    ) -> None:
        self._folder, self._file = folder, file
        self._record = dict(record)
        self._schema = with_metadata(schema, record)
        self._buffered: list[Any] = []
        self._rows_buffered = 0
        self._start = 0
        self._file_rows = 0
        self._lock: BaseFileLock | None = lock_output(file or folder)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def kept(self) -> Iterator[KeptRow]:
        if self._file_rows and self._file is not None:
            yield from self._kept_in(self._file)
        self._start = self._file_rows
        for start, name in self._parts():
            part = self._folder.child(name)
            if start < self._file_rows:
                # The file was made of it, and the process ended before the part was deleted.
                part.delete()
                continue
            if start != self._start:
                raise OutputMismatch(
                    f"{self._folder.uri} lacks the part with row {self._start}: {name} is next."
                )
            before = self._start
            for row in self._kept_in(part):
                self._start += 1
                yield row
            if self._start == before:
                raise OutputMismatch(f"{part.uri} has no rows.")

    def add(self, table: Any) -> None:
        self._buffered.append(table)
        self._rows_buffered += table.num_rows
        while self._rows_buffered >= (rows := part_rows(self._start)):
            self._publish(rows)

    def finish(self, *, complete: bool) -> None:
        if self._rows_buffered:
            self._publish(self._rows_buffered)
        if not complete:
            return
        if self._file is None:
            self._write_record(complete=True)
        elif self._start > self._file_rows or self._file.kind() == "missing":
            self._file.publish(self._assemble)
            self._delete_parts()
        else:
            self._delete_parts()

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _open(self) -> None:
        if self._file is not None and self._file.kind() != "missing":
            with self._file.filesystem.open_input_file(self._file.path) as stream:
                metadata = parquet.ParquetFile(stream)
                self._check(metadata_of(metadata.schema_arrow), self._file)
                self._file_rows = metadata.metadata.num_rows
        self._delete_unpublished()
        names = self._folder.names()
        if RECORD in names:
            self._check(json.loads(self._folder.child(RECORD).read()), self._folder)
        elif any(not name.startswith(".") for name in names):
            raise OutputMismatch(f"{self._folder.uri} has other files. Give an empty folder.")
        else:
            self._folder.make_folder()
            self._write_record(complete=False)

    def _delete_unpublished(self) -> None:
        """On this machine, where the lock says that nobody else is writing it."""
        if self._lock is None:
            return
        for name in self._folder.names():
            if UNPUBLISHED.fullmatch(name):
                self._folder.child(name).delete()
        if self._file is not None:
            path = Path(self._file.path)
            for one in path.parent.iterdir():
                match = UNPUBLISHED.fullmatch(one.name)
                if match and match[1] == path.name:
                    one.unlink()

    def _check(self, found: Mapping[str, Any] | None, place: Place) -> None:
        if found is None:
            raise OutputMismatch(f"{place.uri} is there, and resnet score did not write it.")
        check_same(found, self._record, place.uri)

    def _parts(self) -> list[tuple[int, str]]:
        """Sorted by their first row."""
        matches = (PART.fullmatch(name) for name in self._folder.names())
        return sorted((int(match[1]), match[0]) for match in matches if match)

    def _kept_in(self, place: Place) -> Iterator[KeptRow]:
        with self._reading(place) as file:
            names = {"path", "error_code", PREDICTIONS} & set(file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=1024, columns=sorted(names)):
                yield from kept_rows(pa.Table.from_batches([batch]))

    def _publish(self, rows: int) -> None:
        """The first `rows` of what is buffered."""
        whole = pa.concat_tables(self._buffered)
        part, rest = whole.slice(0, rows), whole.slice(rows)
        place = self._folder.child(f"part-{self._start:012d}.parquet")

        def write(stream: Any) -> None:
            with _writer(stream, self._schema) as writer:
                writer.write_table(part.cast(self._schema))

        place.publish(write)
        self._start += rows
        self._buffered, self._rows_buffered = ([rest] if rest.num_rows else []), rest.num_rows

    def _assemble(self, stream: Any) -> None:
        sources = [self._folder.child(name) for _, name in self._parts()]
        if self._file_rows and self._file is not None:
            sources.insert(0, self._file)
        with _writer(stream, self._schema) as writer:
            group: list[Any] = []
            for source in sources:
                with self._reading(source) as file:
                    for batch in file.iter_batches(batch_size=1024):
                        group.append(batch)
                        if sum(one.num_rows for one in group) >= ROW_GROUP:
                            writer.write_table(pa.Table.from_batches(group).cast(self._schema))
                            group = []
            if group:
                writer.write_table(pa.Table.from_batches(group).cast(self._schema))

    def _reading(self, place: Place) -> Any:
        return parquet.ParquetFile(place.path, filesystem=place.filesystem)

    def _delete_parts(self) -> None:
        for _, name in self._parts():
            self._folder.child(name).delete()
        self._folder.child(RECORD).delete()
        with suppress(OSError):
            self._folder.filesystem.delete_dir(self._folder.path)

    def _write_record(self, *, complete: bool) -> None:
        record = {**self._record, "complete": complete}
        if complete:
            record["rows"] = self._start
        text = json.dumps(record, indent=1).encode()
        self._folder.child(RECORD).publish(lambda stream: stream.write(text))


def _writer(stream: Any, schema: Any) -> Any:
    # Dictionaries of floats are as large as the floats.
    lists = [field.name for field in schema if pa.types.is_fixed_size_list(field.type)]
    return parquet.ParquetWriter(
        stream,
        schema,
        compression=COMPRESSION,
        use_dictionary=not lists,
    )
