"""The bytes of a pickle, within a limit."""

from __future__ import annotations

from typing import BinaryIO

from model_builder.checkpoints.formats.pytorch.pickles.values import Malformed

# What all strings and arrays in a pickle may take together.
PICKLE_BYTES_LIMIT = 1 << 28


class Stream:
    """A file that gives no more than `limit_bytes`, and asks for no memory before it has the bytes.

    Raises Malformed where a length that the pickle states passes the end.
    """

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self._file = file
        self._left_bytes = min(limit_bytes, PICKLE_BYTES_LIMIT)

    def read(self, size: int) -> bytes:
        if size > self._left_bytes:
            raise Malformed("a length in the pickle passes its end or the limit")
        self._left_bytes -= size
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline(self._left_bytes)
        self._left_bytes -= len(line)
        return line
