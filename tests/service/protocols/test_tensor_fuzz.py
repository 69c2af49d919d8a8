"""Requests with binary tensors that lie: no error but the client's, and no memory beyond the body.

What is tried begins as a valid request. Then its sizes, shapes, lengths of elements and bytes are
changed at random.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import MalformedRequest, ServiceError, TooLarge, Unprocessable
from service.protocols.bytes_tensor import join_elements
from service.protocols.json_text import parse_json
from service.protocols.tensor_request import tensor_request
from service.protocols.tensor_rows import rows_of

SIZE, MAX_IMAGES = 4, 8
PIXEL_BYTES = SIZE * SIZE * 3
MODEL = "model"
# A parsed request, its strings, and Python's own.
FIXED_BYTES = 200_000
COPIES = 8
# Numbers that break sums, products and conversions.
NUMBERS = st.sampled_from(
    [-(2**63), -1, 0, 1, 2, 3, 7, 8, 9, 47, 48, 49, 2**31, 2**32 - 1, 2**63, 10**30]
)
ODD = st.one_of(
    NUMBERS, st.none(), st.booleans(), st.floats(), st.text(max_size=4), st.just([]), st.just({})
)


class Buffer:
    """As the service's, without its byte budget."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._starts: list[int] = []

    @property
    def images(self) -> list[memoryview]:
        ends = [*self._starts[1:], len(self._data)]
        pairs = zip(self._starts, ends, strict=True)
        return [memoryview(self._data)[start:end] for start, end in pairs]

    def __len__(self) -> int:
        return len(self._data)

    def append(self, data: bytes | memoryview) -> None:
        self._data += data

    def add_image(self, start: int = 0) -> None:
        self._starts.append(start)


def parse(head: bytes, raw: bytes) -> list[Any]:
    async def rows() -> list[Any]:
        asked = tensor_request(await parse_json(memoryview(head)), memoryview(raw), model=MODEL)
        return await rows_of(asked.tensor, Buffer(), size=SIZE, max_images=MAX_IMAGES, model=MODEL)

    return asyncio.run(rows())


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """JSON, and the bytes behind it."""
    count = draw(st.integers(1, 4))
    if draw(st.booleans()):
        raw = join_elements(draw(st.lists(st.binary(max_size=30), min_size=count, max_size=count)))
        tensor: dict[str, Any] = {"name": "image", "datatype": "BYTES", "shape": [count]}
    else:
        raw = draw(st.binary(min_size=PIXEL_BYTES, max_size=PIXEL_BYTES)) * count
        tensor = {"name": "pixels", "datatype": "UINT8", "shape": [count, SIZE, SIZE, 3]}
    tensor["parameters"] = {"binary_data_size": len(raw)}
    body: dict[str, Any] = {"id": "q", "inputs": [tensor]}
    for _ in range(draw(st.integers(0, 3))):
        match draw(st.sampled_from(["shape", "dimension", "size", "member", "raw", "length"])):
            case "shape":
                tensor["shape"] = draw(st.lists(NUMBERS, max_size=9))
            case "dimension" if isinstance(tensor.get("shape"), list) and tensor["shape"]:
                place = draw(st.integers(0, len(tensor["shape"]) - 1))
                tensor["shape"][place] = draw(ODD)
            case "size":
                tensor["parameters"] = {"binary_data_size": draw(ODD)}
            case "member":
                tensor[draw(st.sampled_from(["name", "datatype", "data", "parameters"]))] = draw(
                    ODD
                )
            case "raw":
                start, end = draw(st.integers(0, len(raw))), draw(st.integers(0, len(raw)))
                raw = raw[:start] + raw[end:]
            case "length" if len(raw) >= 4:
                place = draw(st.integers(0, len(raw) - 4))
                length = struct.pack("<I", draw(st.integers(0, 2**32 - 1)))
                raw = raw[:place] + length + raw[place + 4 :]
    return json.dumps(body).encode(), raw


@settings(deadline=None, max_examples=400)
@given(requests())
def test_a_request_is_answered_or_at_fault_itself(request_bytes: tuple[bytes, bytes]) -> None:
    head, raw = request_bytes
    try:
        rows = parse(head, raw)
    except (MalformedRequest, Unprocessable, TooLarge):
        return
    assert 1 <= len(rows) <= MAX_IMAGES
    # Nothing that was not sent, and each byte once at most.
    assert sum(row.nbytes for row in rows) <= len(raw)
    for row in rows:
        if isinstance(row, np.ndarray):
            assert (row.shape, row.dtype) == ((SIZE, SIZE, 3), np.uint8)


@settings(deadline=None, max_examples=200)
@given(requests())
def test_memory_is_bounded_by_what_was_sent(request_bytes: tuple[bytes, bytes]) -> None:
    head, raw = request_bytes
    tracemalloc.start()
    try:
        with contextlib.suppress(ServiceError):
            parse(head, raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < FIXED_BYTES + COPIES * (len(head) + len(raw))


@pytest.mark.parametrize("size", [2**31, 2**63, 10**30])
@pytest.mark.parametrize("datatype", ["BYTES", "UINT8"])
def test_a_tensor_that_claims_to_be_huge_takes_nothing(datatype: str, size: int) -> None:
    """Eight images of the right shape, as far as the JSON says."""
    shape = [MAX_IMAGES] if datatype == "BYTES" else [MAX_IMAGES, SIZE, SIZE, 3]
    tensor: dict[str, Any] = {"name": "image", "datatype": datatype, "shape": shape}
    tensor["parameters"] = {"binary_data_size": size}
    head, raw = json.dumps({"inputs": [tensor]}).encode(), struct.pack("<I", 2**32 - 1) + b"x"
    tracemalloc.start()
    try:
        with pytest.raises(MalformedRequest):
            parse(head, raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < FIXED_BYTES
