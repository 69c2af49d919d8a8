"""Rows' outputs as tensors, or as the classes that the classification extension names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.artifact.labels import Label
from service.errors import ServiceError
from service.inference.outputs import top_indices, unit_length
from service.inference.request import InferenceResult, RowResult
from service.protocols.tensor_request import WantedOutput

LITTLE_ENDIAN_FLOAT32 = "<f4"


@dataclass(frozen=True, slots=True, eq=False)
class OutputTensor:
    """rows: each float32, or the texts of the classes that are named. shape: with the rows'."""

    wanted: WantedOutput
    datatype: str
    shape: tuple[int, ...]
    rows: Sequence[npt.NDArray[np.float32]] | Sequence[Sequence[str]]


def rows_or_error(result: InferenceResult) -> list[RowResult]:
    """Every row's result: a tensor can't have an error in it. Raises the first row's error."""
    rows = []
    for index, row in enumerate(result.rows):
        if isinstance(row, ServiceError):
            if len(result.rows) == 1:
                raise row
            raise type(row)(f"Image {index} of {len(result.rows)}, from 0: {row}") from None
        rows.append(row)
    return rows


def output_tensor(
    rows: Sequence[RowResult], wanted: WantedOutput, labels: Sequence[Label]
) -> OutputTensor:
    values = [row.outputs[wanted.name] for row in rows]
    if wanted.normalized:
        values = [unit_length(one) for one in values]
    if not wanted.classes:
        return OutputTensor(wanted, "FP32", (len(values), *values[0].shape), values)
    named = [class_texts(one, wanted.classes, labels) for one in values]
    return OutputTensor(wanted, "BYTES", (len(named), len(named[0])), named)


def class_texts(values: npt.NDArray[np.float32], count: int, labels: Sequence[Label]) -> list[str]:
    """So many of the greatest, as "value:index:label"; without a label what is no class."""
    texts = []
    for index in top_indices(values, count).tolist():
        text = f"{float(values[index]):.6f}:{index}"
        texts.append(f"{text}:{labels[index].name}" if len(labels) == len(values) else text)
    return texts


def raw_row(values: npt.NDArray[np.float32]) -> bytes:
    return values.astype(LITTLE_ENDIAN_FLOAT32).tobytes()
