"""Pixels as raw bytes or as JSON's numbers: uint8 [N, size, size, 3], rows of a batch."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import InvalidParameter, MalformedRequest
from service.fairness.paced import pause
from service.protocols.json_text import Numbers

Pixels = npt.NDArray[np.uint8]

CHANNELS = 3
# Parsed, and counted, in about a millisecond.
PIECE_BYTES, COUNTED_BYTES = 64 * 1024, 1024 * 1024
ZERO, NINE, COMMA = ord("0"), ord("9"), ord(",")
WHITESPACE = np.array([chr(code) in " \t\r\n" for code in range(256)])
MAX_DIGITS = 3
OTHER_NUMBERS = np.array([chr(code) in ".eE+-" for code in range(256)])


def pixels_of(data: memoryview, count: int, size: int) -> list[Pixels]:
    """Row by row, without a copy. Raises MalformedRequest for another number of bytes."""
    expected = count * size * size * CHANNELS
    if len(data) != expected:
        raise MalformedRequest(
            f"{count} x {size} x {size} x {CHANNELS} pixels are {expected} bytes. "
            f"Received: {len(data)}"
        )
    array = np.frombuffer(data, np.uint8).reshape(count, size, size, CHANNELS)
    return list(array)


async def parse_pixels(
    numbers: Numbers | list[Any], size: int, max_count: int, *, flat: bool
) -> list[Pixels]:
    """JSON's integers, 0 to 255, as rows.

    flat: whether one array without arrays in it will do as well. Raises InvalidParameter or
    MalformedRequest.
    """
    if isinstance(numbers, list):
        numbers = Numbers(memoryview(json.dumps(numbers).encode()))
    return await _parse(numbers.data, size, max_count, flat)


async def _parse(text: memoryview, size: int, max_count: int, flat: bool) -> list[Pixels]:
    given = np.frombuffer(text, np.uint8)
    each = size * size * CHANNELS
    numbers = 1
    for start in range(0, len(given), COUNTED_BYTES):
        numbers += int(np.count_nonzero(given[start : start + COUNTED_BYTES] == COMMA))
        await pause()
    count, rest = divmod(numbers, each)
    if rest or not count:
        raise MalformedRequest(
            f"Each image has {size} x {size} x {CHANNELS} = {each} pixels. "
            f"Received: {numbers} numbers"
        )
    if count > max_count:
        raise InvalidParameter(f"There may be {max_count} images. Received: {count}")
    pixels = np.empty(numbers, np.uint8)
    structure, filled = [], 0
    start = 0
    while start < len(given):
        piece = given[start : start + PIECE_BYTES]
        if start + len(piece) < len(given):
            # A number is not divided: a piece ends with a comma.
            commas = np.flatnonzero(piece == COMMA)
            if not len(commas):
                raise _not_an_array(size)
            piece = piece[: commas[-1] + 1]
        values, tokens = _parse_piece(piece)
        if filled + len(values) > numbers:
            raise _not_an_array(size)
        pixels[filled : filled + len(values)] = values
        filled += len(values)
        structure.append(tokens)
        start += len(piece)
        await pause()
    found = b"".join(structure)
    shapes = [(count, size, size, CHANNELS)] + [(numbers,)] * flat
    if not any(found == _structure(shape) for shape in shapes):
        raise _not_an_array(size)
    return list(pixels.reshape(count, size, size, CHANNELS))


def _parse_piece(text: Pixels) -> tuple[npt.NDArray[np.int16], bytes]:
    """The numbers, and the text with "0" for each and without whitespace."""
    if OTHER_NUMBERS[text].any():
        raise InvalidParameter("Pixels are integers, 0 to 255. Received: other numbers")
    digit = (text >= ZERO) & (text <= NINE)
    first, last = digit.copy(), digit.copy()
    first[1:] &= ~digit[:-1]
    last[:-1] &= ~digit[1:]
    starts, ends = np.flatnonzero(first), np.flatnonzero(last)
    lengths = ends - starts + 1
    if (lengths > MAX_DIGITS).any():
        raise InvalidParameter("Pixels are integers, 0 to 255. Received: one with more digits")
    if ((lengths > 1) & (text[starts] == ZERO)).any():
        raise MalformedRequest("A number of the array begins with 0 and has more digits.")
    values = (text[ends] - ZERO).astype(np.int16)
    for place, power in ((1, 10), (2, 100)):
        more = lengths > place
        values[more] += power * (text[ends[more] - place] - ZERO).astype(np.int16)
    if (values > 255).any():
        raise InvalidParameter(f"Pixels are integers, 0 to 255. Received: {int(values.max())}")
    tokens = np.where(first, np.uint8(ZERO), text)[first | ~(digit | WHITESPACE[text])]
    return values, tokens.tobytes()


def _structure(shape: tuple[int, ...]) -> bytes:
    """An array of that shape as `_parse_piece` has its text."""
    text = b"0"
    for length in reversed(shape):
        # Repeated and not joined: a list of millions would hold the event loop.
        text = b"[" + (text + b",") * (length - 1) + text + b"]"
    return text


def _not_an_array(size: int) -> MalformedRequest:
    return MalformedRequest(
        f"Pixels are an array of integers, [N, {size}, {size}, {CHANNELS}]: its brackets or "
        "commas are not those of such an array."
    )
