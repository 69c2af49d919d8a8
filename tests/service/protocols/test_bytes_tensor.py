"""Elements of a BYTES tensor."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import MalformedRequest
from service.protocols.bytes_tensor import join_elements, split_elements


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=10))
def test_there_and_back(elements: list[bytes]) -> None:
    found = split_elements(memoryview(join_elements(elements)), len(elements), "image")
    assert [bytes(one) for one in found] == elements


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60), st.integers(0, 5))
def test_any_bytes_are_elements_or_malformed(data: bytes, count: int) -> None:
    try:
        found = split_elements(memoryview(data), count, "image")
    except MalformedRequest:
        return
    assert len(found) == count
    assert join_elements(bytes(one) for one in found) == data


@pytest.mark.parametrize(
    ("data", "count", "message"),
    [
        (b"\1\0\0\0a\1\0\0\0b", 1, "unexpected number of string elements 2"),
        (b"\1\0\0\0a", 2, "expected 2 string elements for inference input 'image', got 1"),
        (b"\1\0\0\0a\1\0", 2, "incomplete string length indicator"),
        (b"c\0\0\0abc", 1, "string of length 99 but only 3 bytes"),
    ],
)
def test_triton_s_texts(data: bytes, count: int, message: str) -> None:
    with pytest.raises(MalformedRequest, match=message):
        split_elements(memoryview(data), count, "image")
