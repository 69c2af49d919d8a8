"""What a connection has received and the parser has not been given."""

from __future__ import annotations

from uvicorn.protocols.http.flow_control import FlowControl

EMPTY_LINE = b"\r\n\r\n"


class ReceivedBytes:
    """Gives out pieces, none of which goes beyond the end of a message.

    A message ends with its header, with a body of a known length, or with the empty line after the
    last chunk. So a cut after every empty line, and after a known length, is enough: what lies
    within a piece is left to the parser, which alone decides what the bytes mean.

    left: bytes that were not given out. body_left: of those that are to come, bytes of a body of
    known length. header_bytes: given out that are not of such a body, since it was set to 0.
    """

    def __init__(self) -> None:
        self.left = 0
        self.body_left = 0
        self.header_bytes = 0
        self._data = b""
        # The end of the last piece, where an empty line may have begun.
        self._tail = b""

    def add(self, data: bytes) -> None:
        self._data = self._data[-self.left :] + data if self.left else data
        self.left = len(self._data)

    def clear(self) -> None:
        self._data, self.left = b"", 0

    def piece(self) -> bytes:
        """The next piece; there must be something left."""
        data, left = self._data, self.left
        start = len(data) - left
        if self.body_left:
            size = min(left, self.body_left)
            self.body_left -= size
        else:
            size = self._after_empty_line(data, start) - start
            self.header_bytes += size
        self.left = left - size
        return data if size == len(data) else data[start : start + size]

    def _after_empty_line(self, data: bytes, start: int) -> int:
        if self._tail:
            joined = self._tail + data[start : start + 3]
            if (found := joined.find(EMPTY_LINE)) >= 0:
                end = start + found + len(EMPTY_LINE) - len(self._tail)
                self._tail = b""
                return end
        if (found := data.find(EMPTY_LINE, start)) >= 0:
            self._tail = b""
            return found + len(EMPTY_LINE)
        self._tail = (self._tail + data[max(start, len(data) - 3) :])[-3:]
        return len(data)


class HeldFlow(FlowControl):
    """uvicorn's, which resumes reading with each response and whenever the application reads.

    dropping: whether it waits for its turn to read what is dropped.
    """

    _held = dropping = False

    def hold(self) -> None:
        """Nothing more is read until `release`."""
        self._held = True
        self.pause_reading()

    def release(self) -> None:
        self._held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        if not self._held:
            super().resume_reading()
