"""A request's whole body, inflated where it is compressed, its bytes counted as they stream."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from starlette.requests import Request

from service.errors import MalformedRequest, UnsupportedEncoding
from service.http.request.body import Body
from service.http.request.uploads import announced_length, receive, too_large
from service.settings import Settings

PIECE_BYTES = 64 * 1024
# zlib finds out by itself whether it is a gzip member or a zlib stream, which HTTP calls deflate.
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
INFLATED = ("gzip", "x-gzip", "deflate")


async def read_payload(request: Request, body: Body, settings: Settings) -> memoryview:
    """The bytes, at most RESNET_MAX_BODY_BYTES as sent and as many inflated. They are the body's.

    Raises MalformedRequest, MemoryFull, PayloadTooLarge, UnsupportedEncoding, UploadTimeout, and
    starlette's ClientDisconnect.
    """
    max_bytes = settings.limits.max_body_bytes
    length = announced_length(request, max_bytes)
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        body.expect(max_bytes if length is None else length, length or 0)
        await receive(request, body, settings, body.append)
    elif encoding in INFLATED:
        body.expect(max_bytes, length or 0)
        inflater = _Inflater(encoding, max_bytes)
        await receive(request, body, settings, body.append, inflater.pieces)
        inflater.check()
    else:
        raise UnsupportedEncoding(
            f"A body may be compressed by gzip or deflate. Received: {encoding[:100]!r}"
        )
    if not len(body):
        raise MalformedRequest("The body is empty.")
    body.add_image()
    return body.images[0]


class _Inflater:
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
