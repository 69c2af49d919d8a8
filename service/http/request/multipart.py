"""A multipart/form-data body, parsed as it arrives: RFC 7578, and RFC 2046 section 5.1.1.

It only searches for the boundary and for the end of a part's header, so that a byte costs about the
same wherever it is. A parser that steps through states takes 200 ns for each byte of some bodies:
58 ms for what one read of a socket may bring.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from python_multipart.multipart import parse_options_header

from service.errors import MalformedRequest

MAX_BOUNDARY_BYTES = 256
MAX_PART_HEADER_BYTES = 4096
MAX_PART_FIELDS = 8
# Of a Content-Type or a Content-Disposition. Semicolons within quotes count too.
MAX_HEADER_PARAMETERS = 16
# Spaces and tabs between a boundary and the end of its line.
MAX_PADDING_BYTES = 64
CRLF = b"\r\n"
# RFC 7578, 4.2, forbids it, and programs send it alone. What it says is not needed.
ENCODED_FILE_NAME = re.compile(rb";[ \t]*filename\*[ \t]*=", re.IGNORECASE)
FIELD_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Parts(Protocol):
    """Is told of each part in turn: its beginning, its content piece by piece, its end."""

    def begin(self, name: str, file_name: str | None) -> None: ...

    def add(self, data: memoryview) -> None: ...

    def end(self) -> None: ...


class MultipartParser:
    """`feed` raises MalformedRequest for what is not multipart, and what `parts` raises.

    ended: whether the last boundary was there.
    """

    def __init__(self, content_type: str, parts: Parts) -> None:
        """Raises MalformedRequest where the Content-Type has no usable boundary."""
        self._delimiter = CRLF + b"--" + _boundary(content_type)
        self._parts = parts
        # Functions and not methods, which would be a cycle that keeps the body's memory.
        self._step: Step = MultipartParser._skip_preamble
        # The first boundary may be the body's first line.
        self._rest = CRLF
        self.ended = False

    def feed(self, data: bytes) -> None:
        """The body's next bytes. What follows the last boundary is ignored."""
        data = self._rest + data
        place = 0
        while not self.ended:
            step, start = self._step, place
            place = step(self, data, start)
            if place == start and self._step is step:
                # It can't go on before more bytes are there.
                break
        self._rest = b"" if self.ended else data[place:]

    # Each step is given the bytes and where it begins. It returns where the next one begins.

    def _skip_preamble(self, data: bytes, start: int) -> int:
        found = data.find(self._delimiter, start)
        if found >= 0:
            return self._after_delimiter(found)
        if (feed := data.find(self._delimiter[1:], start)) > 0 and data[feed - 1] != ord("\r"):
            raise _bare_line_feeds()
        return self._tail(data, start)

    def _read_content(self, data: bytes, start: int) -> int:
        found = data.find(self._delimiter, start)
        end = self._tail(data, start) if found < 0 else found
        if end > start:
            with memoryview(data) as whole, whole[start:end] as content:
                self._parts.add(content)
        if found < 0:
            return end
        self._parts.end()
        return self._after_delimiter(found)

    def _read_line_end(self, data: bytes, start: int) -> int:
        """What follows a boundary: two hyphens after the last one, else the end of the line."""
        if data.startswith(b"\n", start):
            raise _bare_line_feeds()
        line_end = data.find(CRLF, start, start + MAX_PADDING_BYTES + len(CRLF))
        if data.startswith(b"--", start):
            self.ended = True
        elif line_end >= 0 and not data[start:line_end].strip(b" \t"):
            self._step = MultipartParser._read_header
            return line_end + len(CRLF)
        elif line_end >= 0 or len(data) - start >= MAX_PADDING_BYTES + len(CRLF):
            raise MalformedRequest("A boundary of the form is not at the end of its line.")
        return start

    def _read_header(self, data: bytes, start: int) -> int:
        end = data.find(2 * CRLF, start, start + MAX_PART_HEADER_BYTES + 2 * len(CRLF))
        if end < 0:
            if len(data) - start >= MAX_PART_HEADER_BYTES + 2 * len(CRLF):
                raise MalformedRequest(
                    f"The header of a form's part may have {MAX_PART_HEADER_BYTES} bytes."
                )
            return start
        self._parts.begin(*_name_and_file_name(data[start:end]))
        self._step = MultipartParser._read_content
        return end + 2 * len(CRLF)

    def _after_delimiter(self, found: int) -> int:
        self._step = MultipartParser._read_line_end
        return found + len(self._delimiter)

    def _tail(self, data: bytes, start: int) -> int:
        """Where the last bytes begin that may be the first ones of a delimiter."""
        return max(start, len(data) - len(self._delimiter) + 1)


def _bare_line_feeds() -> MalformedRequest:
    return MalformedRequest("The form's lines end with LF: they have to end with CR and LF.")


Step = Callable[[MultipartParser, bytes, int], int]


def _boundary(content_type: str) -> bytes:
    boundary = _parameters(content_type.encode("latin-1"), "Content-Type").get(b"boundary", b"")
    if not 1 <= len(boundary) <= MAX_BOUNDARY_BYTES:
        raise MalformedRequest(
            f"The Content-Type has a boundary of 1 to {MAX_BOUNDARY_BYTES} bytes. "
            f"Received: {len(boundary)}"
        )
    return boundary


def _name_and_file_name(header: bytes) -> tuple[str, str | None]:
    """Of a part. The file name is None where it is no file."""
    lines = header.split(CRLF)
    if len(lines) > MAX_PART_FIELDS:
        raise MalformedRequest(
            f"A form's part may have {MAX_PART_FIELDS} header fields. Received: {len(lines)}"
        )
    disposition = b""
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not FIELD_NAME.fullmatch(name):
            raise MalformedRequest("A header field of a form's part has no name.")
        if name.lower() == b"content-disposition":
            disposition = value.strip(b" \t")
    parameters = _parameters(disposition, "Content-Disposition")
    if b"name" not in parameters:
        raise MalformedRequest("The Content-Disposition of a form's part has no name.")
    file_name = parameters.get(b"filename")
    if file_name is None and ENCODED_FILE_NAME.search(disposition):
        file_name = b""
    return _text(parameters[b"name"]), None if file_name is None else _text(file_name)


def _parameters(value: bytes, field: str) -> dict[bytes, bytes]:
    if (count := value.count(b";")) > MAX_HEADER_PARAMETERS:
        raise MalformedRequest(
            f"A {field} may have {MAX_HEADER_PARAMETERS} parameters. Received: {count}"
        )
    return parse_options_header(value)[1]


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
