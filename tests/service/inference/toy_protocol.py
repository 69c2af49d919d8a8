"""A second protocol: this file is all that it needs.

One request a connection, one line each way, fields separated by spaces, "-" for none:

    key model timeout_ms base64-image
    OK class probability   or   CODE message
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.auth.access import authenticate, check_rate
from service.auth.api_keys import ApiKeys
from service.auth.rate_limit import RateLimit
from service.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidParameter,
    MalformedRequest,
    ModelNotFound,
    PayloadTooLarge,
    RateLimited,
    ServiceError,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
    UploadTimeout,
    entry_of,
)
from service.inference.disconnect import Disconnected, cancel_on_disconnect
from service.inference.outputs import top_k
from service.inference.request import InferenceRequest, RequestDeadline
from service.inference.runtime import Runtime

CODES: dict[type[ServiceError], str] = {
    ServiceError: "INTERNAL",
    MalformedRequest: "BAD_REQUEST",
    Unprocessable: "BAD_REQUEST",
    UnsupportedMedia: "BAD_REQUEST",
    TooLarge: "TOO_LARGE",
    Unauthorized: "UNKNOWN_CLIENT",
    Forbidden: "UNKNOWN_CLIENT",
    ModelNotFound: "UNKNOWN_MODEL",
    RateLimited: "TRY_LATER",
    Unavailable: "TRY_LATER",
    DeadlineExceeded: "LATE",
    UploadTimeout: "LATE",
}


class ToyServer:
    """Serves a Runtime over TCP. keys, limit: shared with the process's other protocols."""

    def __init__(
        self, runtime: Runtime, keys: ApiKeys | None = None, limit: RateLimit | None = None
    ) -> None:
        self._runtime = runtime
        self._keys = keys
        self._limit = limit
        self._connections: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Starts the runtime, gives the port, and at the end finishes every request."""
        self._runtime.start()
        limit = self._runtime.settings.limits.max_body_bytes
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=limit)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            self._runtime.drain()
            server.close()
            await asyncio.gather(*self._connections)
            await asyncio.to_thread(self._runtime.stop)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._handle(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, *_ = writer.get_extra_info("peername")
        rejections = self._runtime.metrics.rejections
        try:
            line = f"OK {await self._classify(reader, address)}"
        except ServiceError as error:
            rejections.labels(error.code).inc()
            line = f"{entry_of(error, CODES)} {error}"
        except Disconnected:
            rejections.labels("cancelled").inc()
            writer.close()
            return
        writer.write(line.encode() + b"\n")
        writer.close()

    async def _classify(self, reader: asyncio.StreamReader, address: str) -> str:
        """The most probable class and its probability. Raises ServiceError or Disconnected."""
        service, http = self._runtime.service, self._runtime.settings.http
        arrived = time.monotonic()
        key, name, timeout = [
            await _field(reader, b" ", http.request_timeout_seconds) for _ in range(3)
        ]
        client = address if self._keys is None else authenticate(self._keys, key or "")
        if self._limit is not None:
            check_rate(self._limit, client)
        deadline = RequestDeadline(arrived, _milliseconds(timeout), http.request_timeout_seconds)
        # Before the image is read, a refusal costs next to nothing.
        model = service.check_room(name, deadline=deadline.at(arrived), client=client)
        encoded = await _field(reader, b"\n", http.request_timeout_seconds)
        try:
            image = base64.b64decode(encoded or "", validate=True)
        except binascii.Error as error:
            raise MalformedRequest(f"The image must be in base64: {error}.") from error
        request = InferenceRequest(
            (image,), deadline.at(time.monotonic()), model=name, client=client
        )
        row = await cancel_on_disconnect(_closed(reader), service.infer_one(request))
        (best,) = top_k(row.outputs["probabilities"], model.artifact.labels, 1)
        return f"{best.label} {best.probability:.6f}"


async def _field(
    reader: asyncio.StreamReader, separator: bytes, timeout_seconds: float
) -> str | None:
    try:
        read = await asyncio.wait_for(reader.readuntil(separator), timeout_seconds)
    except asyncio.TimeoutError:
        raise UploadTimeout(f"No field arrived within {timeout_seconds:g} s.") from None
    except asyncio.LimitOverrunError as error:
        raise PayloadTooLarge(f"A field is too long. Received: {error.consumed} bytes") from error
    except (asyncio.IncompleteReadError, ConnectionError):
        raise Disconnected from None
    text = read[:-1].decode("latin-1")
    return None if text == "-" else text


def _milliseconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise InvalidParameter(f"timeout_ms is a number. Received: {text!r}") from None


async def _closed(reader: asyncio.StreamReader) -> None:
    """Ends when the client has closed the connection; what it sends until then is dropped."""
    try:
        while await reader.read(4096):
            pass
    except ConnectionError:
        pass
