"""A file of lines that grows row by row, or standard output."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TextIO

from filelock import BaseFileLock

from model_builder.system.atomic_write import atomic_write
from service.scoring.errors import OutputMismatch
from service.scoring.filesystem import Place
from service.scoring.identity import check_same
from service.scoring.sinks.formats import Format, JsonLines
from service.scoring.sinks.lock import lock_output
from service.scoring.sinks.sink import KeptRow

# The suffix of the file with the job's record.
BESIDE = ".score.json"
FLUSH_SECONDS = 5.0


class LinesSink:
    """Each row is in the file as soon as it is added. The job's record is beside it.

    A record that a kill left incomplete is cut off. Raises OutputMismatch where the file is
    another job's.
    """

    def __init__(self, output: Place, format: Format, record: Mapping[str, Any]) -> None:
        self._format = format
        self._path = Path(output.path)
        self._beside = self._path.with_name(self._path.name + BESIDE)
        self._record = dict(record)
        self._lock: BaseFileLock | None = lock_output(output)
        self._file: IO[bytes] | None = None
        self._flushed = time.monotonic()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def kept(self) -> Iterator[KeptRow]:
        yield from self._format.kept(self._path)

    def add(self, table: Any) -> None:
        assert self._file is not None
        self._file.write(self._format.encode(table))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def finish(self, *, complete: bool) -> None:
        self._flush()
        if complete:
            self._write_record(complete=True)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _flush(self) -> None:
        """To the disk: a machine may lose its power as a process its life."""
        assert self._file is not None
        os.fsync(self._file.fileno())
        self._flushed = time.monotonic()

    def _open(self) -> None:
        if self._path.exists() and not self._beside.exists():
            raise OutputMismatch(f"{self._path} is there, and resnet score did not write it.")
        if self._beside.exists():
            check_same(json.loads(self._beside.read_bytes()), self._record, str(self._path))
        # First: a file without it is nobody's.
        self._write_record(complete=False)
        # Unbuffered: what is written is the system's, and outlives the process.
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(self._whole_bytes())
        if not self._path.stat().st_size:
            self._file.write(self._format.header())

    def _whole_bytes(self) -> int:
        """Up to the end of the last whole record."""
        whole = position = 0
        with self._path.open("rb") as file:
            for line in file:
                if b"\0" in line:
                    # Never written: a machine without power kept the file's length only.
                    break
                position += len(line)
                if self._format.ends_record(line):
                    whole = position
        return whole

    def _write_record(self, *, complete: bool) -> None:
        text = json.dumps({**self._record, "complete": complete}, indent=1)
        atomic_write(self._beside, text.encode())


class StandardOutputSink:
    """JSON lines on standard output, which nothing is continued from."""

    def __init__(self, stream: TextIO) -> None:
        self._format = JsonLines()
        self._stream = stream

    def kept(self) -> Iterator[KeptRow]:
        return iter(())

    def add(self, table: Any) -> None:
        self._stream.buffer.write(self._format.encode(table))
        self._stream.buffer.flush()

    def finish(self, *, complete: bool) -> None:
        """Every row is out."""

    def close(self) -> None:
        """The stream is the process's."""
