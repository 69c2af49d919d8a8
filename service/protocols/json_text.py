"""A JSON document whose long strings and arrays of numbers stay where they are, as bytes.

An image in base64 or as numbers is most of its document. Parsed with the rest it would hold the
event loop for 50 ms an image, and numbers would take up to fifty times their bytes as objects.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from service.errors import MalformedRequest, PayloadTooLarge

# Of a document without what stays where it is.
MAX_TEXT_BYTES = 64 * 1024
# A string or an array of numbers with as many bytes stays where it is.
LONG_BYTES = 256
WINDOW_BYTES = 64 * 1024
# The event loop does something else after so many steps, or so many windows.
STEPS_AT_ONCE, WINDOWS_AT_ONCE = 200, 8
# Between the end of an array of numbers and what follows its comma.
MAX_SPACE_BYTES = 64

OPENING = re.compile(rb'["\[]')
# Characters of base64, with any slash escaped, as some encoders of JSON do.
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]*(?:\\/[A-Za-z0-9+/_-]*)*={0,2}")
NUMBERS = re.compile(rb"[\[\]\d,.eE+\-\s]*")


@dataclass(frozen=True, slots=True, eq=False)
class LongText:
    """A string of characters of base64. data: as they are in the document."""

    data: memoryview


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """An array of numbers, or of such arrays. data: its text, brackets included."""

    data: memoryview


async def parse_json(data: memoryview) -> Any:
    """The document's value, with LongText and Numbers in the place of what is long.

    Raises MalformedRequest or PayloadTooLarge.
    """
    scan = _Scan(data)
    await scan.run()
    try:
        value = json.loads(b"".join(scan.text))
        return scan.put_back(value)
    except json.JSONDecodeError as error:
        raise MalformedRequest(f"The body is not JSON: {error.msg}.") from None
    except ValueError:
        raise MalformedRequest("The body is not JSON in UTF-8.") from None
    except RecursionError:
        raise MalformedRequest("The body's JSON is nested too deeply.") from None


class _Scan:
    """text: the document with a short string in the place of what is long."""

    def __init__(self, data: memoryview) -> None:
        self.text: list[bytes] = []
        self._data = data
        self._kept = 0
        self._long: dict[str, LongText | Numbers] = {}
        # A document can't have it by chance or by intent.
        self._mark = secrets.token_hex(8)

    async def run(self) -> None:
        place, steps = 0, 0
        while place < len(self._data):
            place = await self._step(place)
            steps += 1
            if not steps % STEPS_AT_ONCE:
                await asyncio.sleep(0)

    async def _step(self, place: int) -> int:
        """Takes what is up to the next string or array, and that one. Returns where it ends."""
        data = self._data
        found = OPENING.search(data, place, place + MAX_TEXT_BYTES + 1)
        if found is None:
            self._keep(place, len(data))
            return len(data)
        opening, start = found.start(), found.end()
        if data[opening] == ord('"'):
            end = await self._extent(BASE64, start)
            if end - start < LONG_BYTES:
                self._keep(place, end)
                return end
            self._keep(place, start)
            self.text.append(self._put(LongText(data[start:end])).encode())
            return end
        end = await self._extent(NUMBERS, opening)
        if end - opening < LONG_BYTES:
            self._keep(place, end)
            return end
        tail = bytes(data[end - MAX_SPACE_BYTES : end])
        end -= len(tail) - tail.rfind(b"]") - 1
        if b"]" not in tail:
            raise MalformedRequest("An array of numbers does not end after its last number.")
        self._keep(place, opening)
        self.text.append(b'"%s"' % self._put(Numbers(data[opening:end])).encode())
        return end

    async def _extent(self, pattern: re.Pattern[bytes], start: int) -> int:
        """Where the longest match from there ends."""
        windows = 0
        while True:
            window_end = start + WINDOW_BYTES
            match = pattern.match(self._data, start, window_end)
            assert match is not None
            # An escaped slash may lie across the window's end.
            if match.end() < window_end - 1 or match.end() == start:
                return match.end()
            start = match.end()
            windows += 1
            if not windows % WINDOWS_AT_ONCE:
                await asyncio.sleep(0)

    def _keep(self, start: int, end: int) -> None:
        self._kept += end - start
        if self._kept > MAX_TEXT_BYTES:
            raise PayloadTooLarge(
                f"A body may have {MAX_TEXT_BYTES} bytes of JSON beside images in base64 and "
                "arrays of integers. Received: more"
            )
        self.text.append(bytes(self._data[start:end]))

    def _put(self, long: LongText | Numbers) -> str:
        key = f"{self._mark}:{len(self._long)}"
        self._long[key] = long
        return key

    def put_back(self, value: Any) -> Any:
        if isinstance(value, str):
            if value in self._long:
                return self._long[value]
            if self._mark in value:
                raise MalformedRequest("A long string is neither an image in base64 nor a number.")
        elif isinstance(value, list):
            return [self.put_back(one) for one in value]
        elif isinstance(value, dict):
            if any(self._mark in key for key in value):
                raise MalformedRequest("The name of a member is too long.")
            return {key: self.put_back(one) for key, one in value.items()}
        return value
