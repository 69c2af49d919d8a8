"""A JSON document whose long strings and arrays of numbers stay where they are, as bytes.

An image in base64 or as numbers is most of its document. Parsed with the rest it would hold the
event loop for 50 ms an image, and numbers would take up to fifty times their bytes as objects.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.errors import MalformedRequest, PayloadTooLarge
from service.fairness.paced import pause

# Of a document without what stays where it is.
MAX_TEXT_BYTES = 32 * 1024
# A string or an array of numbers with as many bytes stays where it is.
LONG_BYTES = 256
WINDOW_BYTES = 64 * 1024
SEARCH_BYTES = 8 * 1024
# Of arrays of numbers: those of images have four.
MAX_DEPTH = 32
# The event loop does something else after so many windows, or strings and arrays.
WINDOWS_AT_ONCE, TAKEN_AT_ONCE = 4, 16

# What may be long: a string or an array, by its first bytes.
# The base64 of a data: URL (RFC 2397) is taken as if it were the whole string.
STRING = rb'"(?:data:[A-Za-z0-9+.\\/-]{0,100};base64,)?(?=[A-Za-z0-9+/_\\-]{%d})' % LONG_BYTES
ARRAY = rb"\[(?=[\[\]\d,.eE+\-\s]{%d})" % (LONG_BYTES - 1)
OPENING = re.compile(STRING + b"|" + ARRAY)
# The most bytes by which one of them is recognized.
OPENING_BYTES = LONG_BYTES + 128
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
        return scan.put_back(value) if scan.long else value
    except json.JSONDecodeError as error:
        raise MalformedRequest(f"The body is not JSON: {error.msg}.") from None
    except ValueError:
        raise MalformedRequest("The body is not JSON in UTF-8.") from None
    except RecursionError:
        raise MalformedRequest("The body's JSON is nested too deeply.") from None


class _Scan:
    """text: the document with a short string in the place of what is long. long: by that string."""

    def __init__(self, data: memoryview) -> None:
        self.text: list[bytes] = []
        self._data = data
        self._kept = 0
        self.long: dict[str, LongText | Numbers] = {}
        # A document can't have it by chance or by intent.
        self._mark = secrets.token_hex(8)

    async def run(self) -> None:
        place, taken = 0, 0
        while place < len(self._data):
            found = OPENING.search(self._data, place, place + SEARCH_BYTES)
            if found is not None:
                place = await self._take(place, found)
                taken += 1
                if not taken % TAKEN_AT_ONCE:
                    await pause()
                continue
            end = place + SEARCH_BYTES
            if end < len(self._data):
                # What begins at the end of a window is found in the next one.
                end -= OPENING_BYTES
            self._keep(place, end)
            place = end
            await pause()

    async def _take(self, place: int, found: re.Match[bytes]) -> int:
        """Keeps the text up to the string or array that opens there, and takes that one.

        Returns where it ends.
        """
        data, opening = self._data, found.start()
        if data[opening] == ord('"'):
            start = found.end()
            end = await self._extent(BASE64, start)
            if end - start < LONG_BYTES:
                self._keep(place, end)
                return end
            self._keep(place, opening + 1)
            self.text.append(self._put(LongText(data[start:end])).encode())
            return end
        end = await self._array_end(opening)
        if end - opening < LONG_BYTES:
            self._keep(place, end)
            return end
        self._keep(place, opening)
        self.text.append(b'"%s"' % self._put(Numbers(data[opening:end])).encode())
        return end

    async def _array_end(self, start: int) -> int:
        """Behind the bracket that closes the array."""
        depth, place = 0, start
        while True:
            window_end = place + WINDOW_BYTES
            match = NUMBERS.match(self._data, place, window_end)
            assert match is not None
            text = np.frombuffer(self._data[place : match.end()], np.uint8)
            places = np.flatnonzero((text == ord("[")) | (text == ord("]")))
            depths = depth + np.cumsum(np.where(text[places] == ord("["), 1, -1))
            closed = np.flatnonzero(depths == 0)
            if len(closed):
                return place + int(places[closed[0]]) + 1
            if len(depths):
                depth = int(depths[-1])
            if depth > MAX_DEPTH:
                raise MalformedRequest("The body's JSON is nested too deeply.")
            if match.end() < window_end:
                raise MalformedRequest("An array of numbers does not end after its last number.")
            place = window_end
            await pause()

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
                await pause()

    def _keep(self, start: int, end: int) -> None:
        end = min(end, len(self._data))
        self._kept += end - start
        if self._kept > MAX_TEXT_BYTES:
            raise PayloadTooLarge(
                f"A body may have {MAX_TEXT_BYTES} bytes of JSON beside images in base64 and "
                "arrays of integers. Received: more"
            )
        self.text.append(bytes(self._data[start:end]))

    def _put(self, long: LongText | Numbers) -> str:
        key = f"{self._mark}:{len(self.long)}"
        self.long[key] = long
        return key

    def put_back(self, value: Any) -> Any:
        if isinstance(value, str):
            if value in self.long:
                return self.long[value]
            if self._mark in value:
                raise MalformedRequest("A long string is neither an image in base64 nor a number.")
        elif isinstance(value, list):
            return [self.put_back(one) for one in value]
        elif isinstance(value, dict):
            if any(self._mark in key for key in value):
                raise MalformedRequest("The name of a member is too long.")
            return {key: self.put_back(one) for key, one in value.items()}
        return value
