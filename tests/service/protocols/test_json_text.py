"""A document is what `json.loads` makes of it, but for what is long."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import MalformedRequest, PayloadTooLarge
from service.protocols.json_text import (
    LONG_BYTES,
    MAX_TEXT_BYTES,
    SEARCH_BYTES,
    WINDOW_BYTES,
    WINDOWS_AT_ONCE,
    LongText,
    Numbers,
    parse_json,
)


def parsed(data: bytes) -> Any:
    return asyncio.run(parse_json(memoryview(data)))


def plain(value: Any) -> Any:
    """With what stayed where it was as `json.loads` would have it."""
    if isinstance(value, LongText):
        return json.loads(b'"%s"' % bytes(value.data))
    if isinstance(value, Numbers):
        return json.loads(bytes(value.data))
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


def mixes_numbers(value: Any) -> bool:
    """Whether an array in it has a long one and other things than arrays of numbers."""
    if isinstance(value, dict):
        return any(mixes_numbers(one) for one in value.values())
    if not isinstance(value, list):
        return False
    text = json.dumps(value)
    mixed = len(text) > LONG_BYTES and bool(set(text) - set("0123456789,.eE+- []"))
    return mixed or any(mixes_numbers(one) for one in value)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.integers(0, 3 * LONG_BYTES).map(lambda length: "QUJD" * length)
    | st.lists(st.integers(0, 255), max_size=2 * LONG_BYTES)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=200)
@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_any_value(value: Any, indent: int | None, ascii_only: bool) -> None:
    try:
        found = parsed(json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode())
    except MalformedRequest:
        # An array with many numbers and something else: no request has one.
        assert mixes_numbers(value)
        return
    assert plain(found) == value


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                b'"',
                b"[",
                b"]",
                b"{",
                b"}",
                b",",
                b":",
                b"\\",
                b"A" * 300,
                b"1," * 200,
                b"1",
                b" ",
                b"\\/",
                b"null",
                b"\xff",
            ]
        ),
        max_size=30,
    )
)
def test_any_bytes_are_a_value_or_malformed(parts: list[bytes]) -> None:
    data = b"".join(parts)
    try:
        found = parsed(data)
    except MalformedRequest:
        return
    assert plain(found) == json.loads(data)


@pytest.mark.parametrize("length", [LONG_BYTES, WINDOW_BYTES - 1, WINDOW_BYTES, 5 * WINDOW_BYTES])
def test_a_long_string_stays_where_it_is(length: int) -> None:
    text = "A" * length
    found = parsed(json.dumps({"data": [text, text], "id": "x"}).encode())
    assert found["id"] == "x"
    for one in found["data"]:
        assert isinstance(one, LongText)
        assert bytes(one.data) == text.encode()


@pytest.mark.parametrize("before", range(6))
def test_escaped_slashes_across_a_windows_end(before: int) -> None:
    text = "A" * before + r"\/" * WINDOW_BYTES
    found = parsed(b'{"b64": "%s"}' % text.encode())
    assert bytes(found["b64"].data) == text.encode()


@pytest.mark.parametrize("end", ["]", "] ", "],", "]\n , "])
def test_an_array_of_numbers_stays_where_it_is(end: str) -> None:
    numbers = "[[" + "1, " * LONG_BYTES + "2]"
    more = '"x":1' if "," in end else ""
    found = parsed(f'{{"data": {numbers}{end}{more}}}'.encode())
    assert bytes(found["data"].data) == f"{numbers}]".encode()


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"a', b"[1,", b'"\xff"', b"{}{}", b"[" * 5_000, b'{"a":' * 5_000,
     b'"' + b"A" * 300, b'"a"' + b"1" * 300 + b'"b"', b"[" + b"1," * 300 + b"null]",
     b"[" + b"1" * 300, b'{"x":"a\\"' + b"A" * 300 + b'"}'],
)  # fmt: skip
def test_what_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parsed(data)


def test_the_text_beside_what_is_long_is_bounded() -> None:
    assert parsed(b'["%s"]' % (b"." * (MAX_TEXT_BYTES - 4)))
    for data in (b'["%s"]' % (b"." * (MAX_TEXT_BYTES - 3)), b'"A",' * MAX_TEXT_BYTES):
        with pytest.raises(PayloadTooLarge):
            parsed(data)


def test_a_mark_can_not_be_guessed() -> None:
    text = base64.b64encode(bytes(300)).decode()
    found = parsed(json.dumps([text, "0" * 16 + ":0"]).encode())
    assert found[1] == "0" * 16 + ":0"


@pytest.mark.parametrize("before", [0, 1, 255, 256, 257])
@pytest.mark.parametrize("long", ['"%s"' % ("A" * 300), "[%s1]" % ("1," * 200)])
def test_what_is_long_is_found_wherever_a_window_ends(before: int, long: str) -> None:
    text = f'["{"." * (SEARCH_BYTES - before)}", {long}]'
    found = parsed(text.encode())
    assert isinstance(found[1], LongText | Numbers)
    assert plain(found) == json.loads(text)


@pytest.mark.parametrize(
    "document",
    [b'{"x":"%s"}' % (b"A" * 5_000_000), b'{"x":[%s1]}' % (b"1," * 2_000_000)],
    ids=["text", "numbers"],
)
def test_the_event_loop_does_something_else_meanwhile(document: bytes) -> None:
    turns = 0

    async def main() -> None:
        nonlocal turns
        parsing = asyncio.ensure_future(parse_json(memoryview(document)))
        while not parsing.done():
            turns += 1
            await asyncio.sleep(0)
        await parsing

    asyncio.run(main())
    assert turns >= len(document) / (WINDOWS_AT_ONCE * WINDOW_BYTES) - 1
