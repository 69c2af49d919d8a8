"""A compressed body, inflated as it arrives and within the limit of a body's bytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from starlette.requests import Request

from service.errors import MalformedRequest, PayloadTooLarge, UnsupportedEncoding

PIECE_BYTES = 64 * 1024
# zlib finds out by itself whether it is a gzip member or a zlib stream, which HTTP calls deflate.
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
INFLATED = ("gzip", "x-gzip", "deflate")


def inflater_of(request: Request, max_bytes: int) -> Inflater | None:
    """Of the body's Content-Encoding; None for none. Raises UnsupportedEncoding.

    max_bytes: the most that may come out.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return None
    if encoding in INFLATED:
        return Inflater(encoding, max_bytes)
    raise UnsupportedEncoding(
        f"A body may be compressed by gzip or deflate. Received: {encoding[:100]!r}"
    )


class Inflater:
    """One gzip member or zlib stream."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._stream = zlib.decompressobj(GZIP_OR_ZLIB)
        self._inflated = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        piece = b""
        # What was inflated may be more than one piece also where all of the data was taken.
        while data or len(piece) == PIECE_BYTES:
            if self._stream.eof:
                if data:
                    raise MalformedRequest("Bytes follow the end of the compressed body.")
                return
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except zlib.error:
                raise self._broken() from None
            self._inflated += len(piece)
            if self._inflated > self._max_bytes:
                raise too_large(self._max_bytes, self._inflated)
            data = self._stream.unconsumed_tail or self._stream.unused_data
            yield piece

    def check(self) -> None:
        """At the end of the body. Raises MalformedRequest where it breaks off."""
        if not self._stream.eof:
            raise self._broken()

    def _broken(self) -> MalformedRequest:
        return MalformedRequest(f"The body is not {self._encoding}, or breaks off.")


def too_large(max_bytes: int, received: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"A body may have {max_bytes} bytes. Received: at least {received}")
