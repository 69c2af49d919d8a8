"""Messages whose long fields stay where they are, as bytes.

Images and pixels are most of a message. Parsed with the rest they would be copied, and a message of
millions of small fields would hold the event loop for seconds.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar, Union

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from service.errors import InvalidParameter, MalformedRequest, PayloadTooLarge

# Fields that stay where they are, by number: their name, or those of the message that a field is.
Fields = dict[int, Union[str, "Fields"]]
MessageT = TypeVar("MessageT")

# Of a message without what stays where it is.
MAX_KEPT_BYTES = 32 * 1024
# Each takes about a microsecond.
MAX_FIELDS = 4096
MAX_VARINT_BYTES = 10
VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
CONTINUED = 0x80


class TakenOut(dict[str, list[memoryview]]):
    """By the field's name the contents of each occurrence, in their order; empty without any."""

    def __missing__(self, name: str) -> list[memoryview]:
        return []


def parse(kind: type[MessageT], data: memoryview, fields: Fields) -> tuple[MessageT, TakenOut]:
    """The message, with nothing in those fields, and their contents.

    Raises MalformedRequest or PayloadTooLarge.
    """
    reader = _Reader()
    kept = reader.copy(data, fields)
    factory: Any = kind
    try:
        return factory.FromString(kept), reader.taken
    except DecodeError:
        raise MalformedRequest(f"The message is no {kind.__name__}.") from None


class _Reader:
    def __init__(self) -> None:
        self.taken = TakenOut()
        self._fields = 0
        self._kept = 0

    def copy(self, data: memoryview, fields: Fields) -> bytes:
        """The message's bytes without what is taken out."""
        kept: list[bytes] = []
        place = 0
        while place < len(data):
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise PayloadTooLarge(f"A message may have {MAX_FIELDS} fields. Received: more")
            start = place
            tag, after_tag = _varint(data, place)
            number, kind = tag >> 3, tag & 7
            content, place = _content(data, after_tag, kind)
            inside = fields.get(number)
            if kind == LENGTH_DELIMITED and inside is not None:
                left = self._take(data[content:place], inside)
                self._keep(kept, data[start:after_tag])
                kept += (_varint_bytes(len(left)), left)
            else:
                self._keep(kept, data[start:place])
        return b"".join(kept)

    def _take(self, content: memoryview, inside: str | Fields) -> bytes:
        if isinstance(inside, str):
            self.taken.setdefault(inside, []).append(content)
            return b""
        return self.copy(content, inside)

    def _keep(self, kept: list[bytes], piece: memoryview) -> None:
        self._kept += len(piece)
        if self._kept > MAX_KEPT_BYTES:
            raise PayloadTooLarge(
                f"A message may have {MAX_KEPT_BYTES} bytes beside images and pixels. "
                "Received: more"
            )
        kept.append(bytes(piece))


def short_text(data: memoryview, number: int, max_bytes: int) -> str:
    """A field of a message; "" where it has none, one that is longer, or no text."""
    found = ""
    place = 0
    with suppress(MalformedRequest, UnicodeDecodeError):
        for _ in range(MAX_FIELDS):
            if place == len(data):
                break
            tag, place = _varint(data, place)
            content, place = _content(data, place, tag & 7)
            if tag == number << 3 | LENGTH_DELIMITED and place - content <= max_bytes:
                found = str(data[content:place], "utf-8")
    return found


def packed_bytes(data: memoryview) -> npt.NDArray[np.uint8]:
    """Integers 0 to 255 of a packed repeated field, as uint8 [n]. Raises InvalidParameter."""
    given = np.frombuffer(data, np.uint8)
    # A varint of 128 to 255 has its value, less than 128 of it, as its first byte, then a 1.
    continued = given >= CONTINUED
    after = np.zeros_like(continued)
    after[1:] = continued[:-1]
    if len(given) and (continued[-1] or (given[after] != 1).any()):
        raise InvalidParameter("Pixels are integers, 0 to 255. Received: other numbers")
    return given[~after]


def _content(data: memoryview, place: int, kind: int) -> tuple[int, int]:
    """Where a field's value begins and ends. place: behind its tag."""
    end = place
    if kind == LENGTH_DELIMITED:
        length, place = _varint(data, place)
        end = place + length
    elif kind == VARINT:
        _, end = _varint(data, place)
    elif kind in (FIXED32, FIXED64):
        end += 4 if kind == FIXED32 else 8
    else:
        raise _broken()
    if end > len(data):
        raise _broken()
    return place, end


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """The number there, and the place behind it."""
    value = 0
    for index, byte in enumerate(data[place : place + MAX_VARINT_BYTES]):
        value |= (byte & (CONTINUED - 1)) << 7 * index
        if byte < CONTINUED:
            return value, place + index + 1
    raise _broken()


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value >= CONTINUED:
        out.append(value & (CONTINUED - 1) | CONTINUED)
        value >>= 7
    out.append(value)
    return bytes(out)


def _broken() -> MalformedRequest:
    return MalformedRequest("The message is not in the form of protobuf, or breaks off.")
