"""The answer to an inference request of v2: JSON, or JSON and raw tensors behind it.

Its keys are in Triton's order. A float32 is written as the double that it is exactly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import Response

from model_builder.artifact.labels import Label
from service.fairness.paced import pause
from service.http.headers import TENSOR_HEADER_LENGTH
from service.http.outputs.held_response import HeldResponse
from service.inference.request import RowResult
from service.protocols.bytes_tensor import join_elements
from service.protocols.tensor_outputs import OutputTensor, output_tensor, raw_row
from service.protocols.tensor_request import WantedOutput

BINARY = "application/octet-stream"


async def infer_response(
    rows: Sequence[RowResult],
    outputs: Sequence[WantedOutput],
    *,
    labels: Sequence[Label],
    identifier: str,
    names: tuple[str, str],
) -> Response:
    """names: the model's, as the request has it, and its version."""
    described: list[str] = []
    tail: list[bytes] = []
    for wanted in outputs:
        tensor = output_tensor(rows, wanted, labels)
        members = {"name": wanted.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        raw = _raw(tensor) if wanted.binary else []
        if wanted.binary:
            tail += raw
            size = sum(map(len, raw))
            described.append(_dump({**members, "parameters": {"binary_data_size": size}}))
        else:
            data = await _numbers(tensor)
            described.append(f'{_dump(members).removesuffix("}")},"data":[{data}]}}')
    name, version = names
    members = {"id": identifier} if identifier else {}
    members |= {"model_name": name, "model_version": version}
    head = f'{_dump(members).removesuffix("}")},"outputs":[{",".join(described)}]}}'.encode()
    if not any(one.binary for one in outputs):
        return HeldResponse(head, media_type="application/json")
    headers = {TENSOR_HEADER_LENGTH: str(len(head))}
    return HeldResponse(b"".join([head, *tail]), media_type=BINARY, headers=headers)


async def _numbers(tensor: OutputTensor) -> str:
    """The data, flat, without brackets. A row takes the event loop less than a millisecond."""
    texts = []
    for row in tensor.rows:
        values = row.ravel().tolist() if isinstance(row, np.ndarray) else list(row)
        texts.append(_dump(values)[1:-1])
        await pause()
    return ",".join(texts)


def _raw(tensor: OutputTensor) -> list[bytes]:
    return [
        raw_row(row) if isinstance(row, np.ndarray) else join_elements(one.encode() for one in row)
        for row in tensor.rows
    ]


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
