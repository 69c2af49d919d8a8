"""Rows of scored images as Arrow tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.inference.outputs import ClassScore

Array = npt.NDArray[np.float32]

METADATA = b"resnet.score"
PREDICTIONS = "predictions"
PREDICTION = pa.struct(
    [
        ("class_id", pa.int32()),
        ("wnid", pa.string()),
        ("label", pa.string()),
        ("probability", pa.float32()),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRow:
    """One image. outputs: float32 [n] by name. error: why there are none, else None.

    error_code: its kind, of a closed set: the `code` of a ServiceError, or "unreadable".
    """

    path: str
    predictions: tuple[ClassScore, ...] = ()
    outputs: Mapping[str, Array] = field(default_factory=dict)
    error: str | None = None
    error_code: str | None = None


def make_schema(outputs: Sequence[str], sizes: Mapping[str, int]) -> Any:
    """path, the outputs in their order, error, error_code. sizes: of the outputs that are arrays,
    which are lists of that fixed size.
    """
    columns: list[tuple[str, Any]] = [("path", pa.string())]
    for name in outputs:
        kind = pa.list_(PREDICTION) if name == PREDICTIONS else pa.list_(pa.float32(), sizes[name])
        columns.append((name, kind))
    return pa.schema([*columns, ("error", pa.string()), ("error_code", pa.string())])


def make_table(rows: Sequence[ScoredRow], schema: Any) -> Any:
    """A `pyarrow.Table` with `schema`; an image without outputs has nulls there."""
    return pa.table([_column(rows, one) for one in schema], schema=schema)


def with_metadata(schema: Any, record: Mapping[str, Any]) -> Any:
    """The schema with a record that every Parquet file of the job holds."""
    return schema.with_metadata({METADATA: json.dumps(record, sort_keys=True).encode()})


def metadata_of(schema: Any) -> dict[str, Any] | None:
    """What `with_metadata` added; None where it did not."""
    found = (schema.metadata or {}).get(METADATA)
    if found is None:
        return None
    record: dict[str, Any] = json.loads(found)
    return record


def _column(rows: Sequence[ScoredRow], wanted: Any) -> Any:
    if wanted.name in ("path", "error", "error_code"):
        return pa.array([_valid(getattr(row, wanted.name)) for row in rows], pa.string())
    if wanted.name == PREDICTIONS:
        return pa.array([_named(row) for row in rows], wanted.type)
    size = wanted.type.list_size
    values = np.zeros((len(rows), size), np.float32)
    absent = np.ones(len(rows), bool)
    for index, row in enumerate(rows):
        if wanted.name in row.outputs:
            values[index], absent[index] = row.outputs[wanted.name], False
    return pa.FixedSizeListArray.from_arrays(
        pa.array(values.reshape(-1)), type=wanted.type, mask=pa.array(absent)
    )


def _named(row: ScoredRow) -> list[dict[str, Any]] | None:
    if row.error is not None:
        return None
    return [
        {"class_id": p.class_id, "wnid": p.wnid, "label": p.label, "probability": p.probability}
        for p in row.predictions
    ]


def _valid(text: str | None) -> str | None:
    """Without halves of surrogate pairs, which a message has where a file's name is no text."""
    return text and text.encode("utf-8", "backslashreplace").decode()
