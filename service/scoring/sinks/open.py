"""The sink for an output as a person writes it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, TextIO

from service.scoring.errors import InvalidInput
from service.scoring.filesystem import place_of
from service.scoring.sinks.formats import Csv, Format, JsonLines
from service.scoring.sinks.lines import BESIDE, LinesSink, StandardOutputSink
from service.scoring.sinks.parquet import ParquetSink
from service.scoring.sinks.sink import Sink

STANDARD_OUTPUT = "-"
PARTS = ".parts"
CSV, PARQUET = ".csv", ".parquet"
LINES = (CSV, ".jsonl", ".ndjson")


def local_paths(given: str) -> frozenset[str]:
    """The real paths of what an output is made of on this machine."""
    if given == STANDARD_OUTPUT or not (place := place_of(given)).is_local:
        return frozenset()
    path = os.path.realpath(place.path.rstrip("/"))
    return frozenset((path, path + PARTS, path + BESIDE))


def check_output(given: str) -> None:
    """Before a model is loaded. Raises InvalidInput for what `open_sink` does not write."""
    if given == STANDARD_OUTPUT:
        return
    place = place_of(given)
    suffix = PurePosixPath(place.uri).suffix.lower()
    if suffix in LINES and not place.is_local:
        raise InvalidInput(
            f"Lines are written to local files: what is kept in {given.partition('://')[0]} "
            "can't grow. Write Parquet there."
        )
    if suffix in (*LINES, "", PARQUET) or given.endswith("/"):
        return
    if place.kind() == "missing":
        raise InvalidInput(
            f"Outputs are a folder, or a file *.parquet, *.jsonl or *.csv. Received: {given}"
        )


def open_sink(
    given: str, schema: Any, record: Mapping[str, Any], standard_output: TextIO | None = None
) -> Sink:
    """given: *.parquet for one file, *.jsonl, *.csv, "-" for JSON lines on standard output; any
    other name is that of a folder of Parquet parts.

    Raises InvalidInput, or OutputMismatch where the output is another job's.
    """
    check_output(given)
    if given == STANDARD_OUTPUT:
        return StandardOutputSink(standard_output or sys.stdout)
    place = place_of(given)
    suffix = PurePosixPath(place.uri).suffix.lower()
    if suffix in LINES:
        columns = Csv(tuple(record["outputs"]), record["top_k"])
        format: Format = columns if suffix == CSV else JsonLines()
        return LinesSink(place, format, record)
    if suffix == PARQUET:
        if place.kind() == "folder":
            return ParquetSink(place, None, schema, record)
        return ParquetSink(place.beside(PARTS), place, schema, record)
    return ParquetSink(place, None, schema, record)
