"""Pixels from raw bytes and from JSON's numbers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InvalidParameter, MalformedRequest, ServiceError
from service.protocols import pixel_arrays
from service.protocols.json_text import Numbers
from service.protocols.pixel_arrays import parse_pixels, pixels_of


def images(count: int, size: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def parsed(text: str | list[Any], size: int, *, flat: bool = True) -> list[Any]:
    numbers = text if isinstance(text, list) else Numbers(memoryview(text.encode()))
    return asyncio.run(parse_pixels(numbers, size, 32, flat=flat))


@pytest.mark.parametrize("piece_bytes", [16, 1000, pixel_arrays.PIECE_BYTES])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("count", [1, 3])
def test_nested_and_flat(
    count: int, indent: int | None, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_arrays, "PIECE_BYTES", piece_bytes * (1 if indent is None else 8))
    given = images(count, 7)
    for value in (given.tolist(), given.ravel().tolist()):
        assert np.array_equal(parsed(value, 7), given)
        assert np.array_equal(parsed(json.dumps(value, indent=indent), 7), given)
    assert np.array_equal(pixels_of(memoryview(given.tobytes()), count, 7), given)


def test_flat_only_where_it_will_do() -> None:
    with pytest.raises(MalformedRequest):
        parsed(images(1, 4).ravel().tolist(), 4, flat=False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[[[[1,", "[[[[256,"),
        ("[[[[1,", "[[[[1000,"),
        ("[[[[1,", "[[[[1.0,"),
        ("[[[[1,", "[[[[-1,"),
        ("[[[[1,", "[[[[1e0,"),
        ("[[[[1,", "[[[[01,"),
        ("[[[[1,", "[[[[1 1,"),
        ("[[[[1,", "[[[[,"),
        ("[[[[1,", "[[[1,"),
        ("[[[[1,", "[[[[[1,"),
        ("[[[[1,", "[[[[1,1,"),
        ("],[", "]["),
        ("],[", ",["),
        ("],[", ","),
        ("]]]]", "]]]"),
        ("]]]]", ",]]]]"),
        ("]]]]", "]]]]]"),
    ],
)
def test_what_is_no_such_array(old: str, new: str) -> None:
    text = json.dumps(np.ones((1, 4, 4, 3), int).tolist(), separators=(",", ":"))
    assert len(parsed(text, 4)) == 1
    with pytest.raises((MalformedRequest, InvalidParameter)):
        parsed(text.replace(old, new, 1), 4)


@settings(deadline=None, max_examples=300)
@given(st.text("[]0123456789, \n.-e+", max_size=80))
def test_any_text_is_an_array_or_an_error(text: str) -> None:
    try:
        (found,) = parsed(text, 1)
    except ServiceError:
        return
    assert np.array_equal(np.ravel(json.loads(text)), found.ravel())


def test_more_images_than_may_be() -> None:
    with pytest.raises(InvalidParameter):
        parsed([0] * 3 * 33, 1)


@pytest.mark.parametrize("length", [0, 47, 49])
def test_another_number_of_bytes(length: int) -> None:
    with pytest.raises(MalformedRequest, match=f"48 bytes. Received: {length}"):
        pixels_of(memoryview(bytes(length)), 1, 4)
