"""Base64 in pieces is base64 as a whole."""

from __future__ import annotations

import asyncio
import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import MalformedRequest
from service.protocols.base64_text import PIECE_CHARACTERS, decode_base64
from service.protocols.json_text import LongText


def decoded(text: LongText | str) -> bytes:
    pieces: list[bytes] = []
    asyncio.run(decode_base64(text, pieces.append))
    return b"".join(pieces)


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_what_was_encoded(data: bytes) -> None:
    for text in (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()):
        assert decoded(text) == data
        assert decoded(text.rstrip("=")) == data
        assert decoded(LongText(memoryview(text.replace("/", "\\/").encode()))) == data
    assert decoded(base64.encodebytes(data).decode()) == data


@pytest.mark.parametrize("extra", range(5))
def test_longer_than_a_piece(extra: int) -> None:
    data = bytes(i * 7 % 256 for i in range(PIECE_CHARACTERS * 3 // 4 * 6 + extra))
    text = base64.b64encode(data).replace(b"/", b"\\/")
    assert decoded(LongText(memoryview(text))) == data


@pytest.mark.parametrize(
    "text", ["A", "AAAAA", "AA=", "AAA==", "AAAA=", "AAAA==", "A===", "=AAA", "AA==AA==", "A A?",
             "é", "AA\\AA", "AAAA.", "=", "=="],
)  # fmt: skip
def test_what_is_not_base64(text: str) -> None:
    with pytest.raises(MalformedRequest):
        decoded(text)
