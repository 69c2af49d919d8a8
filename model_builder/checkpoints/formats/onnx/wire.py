"""The wire format of protocol buffers, as far as ONNX needs it. Nothing is copied.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10
SIGN = 1 << 63
FLOAT = struct.Struct("<f")

# An int of a varint; otherwise the bytes.
Value = int | memoryview


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """The number and value of each field, in order. Raises ValueError where it is no message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"a field of kind {kind}")
        if size > len(message) - at:
            raise ValueError("a field that does not end")
        yield key >> 3, message[at : at + size]
        at += size


def text(value: Value) -> str:
    return content(value).tobytes().decode()


def content(value: Value) -> memoryview:
    """Raises ValueError where the field is a number."""
    if isinstance(value, int):
        raise ValueError("a number where bytes should be")
    return value


def integers(value: Value) -> list[int]:
    """Signed ones, of a repeated field: one, or several that are packed."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(_signed(number))
    return found


def floating(value: Value) -> float:
    """Of a field of 32 bits. Raises ValueError for any other."""
    data = content(value)
    if len(data) != FLOAT.size:
        raise ValueError(f"a number of {FLOAT.size} bytes with {len(data)}")
    (number,) = FLOAT.unpack(data)
    return float(number)


def _signed(number: int) -> int:
    return number - 2 * SIGN if number >= SIGN else number


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    number = 0
    for index, byte in enumerate(data[at : at + MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, at + index + 1
    raise ValueError("a number that does not end")
