"""One client's connection: uvicorn's, with limits on what a client may send, and how slowly.

Only `service.http.server` uses it. Another ASGI server has limits of its own (deploy/nginx.conf).
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.connection.header import check_header, without_upgrade
from service.http.connection.joined_head import JoinedHead
from service.http.connection.peer import PROBE_SECONDS, WriteProgress, abort_if_gone, probe
from service.http.connection.received import HeldFlow, ReceivedBytes
from service.http.connection.refusal import Refusal, malformed, response
from service.http.connection.registry import ConnectionRegistry

# Bytes of further requests that are read while one is answered.
MAX_UNPARSED_BYTES = 64 * 1024
HEALTH = b"/health/"


class BoundedHttpProtocol(HttpToolsProtocol):
    """At most one request is parsed and not answered. The code that reads a body limits it."""

    registry: ClassVar[ConnectionRegistry]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = ReceivedBytes()
        self._in_header = self._in_message = False
        self._upgrade = b""
        # Since when the connection has been in the state that `_limit_seconds` limits.
        self._since = 0.0
        self._refusal: Refusal | None = None
        self._half_closed = self._lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = self._flow = HeldFlow(transport)
        self._writes = WriteProgress(transport)
        self._context = contextvars.copy_context()
        self._since = self.loop.time()
        descriptor = transport.get_extra_info("socket").fileno()
        self._refusal = self.registry.add(self, self.client and self.client[0], descriptor)

    def connection_lost(self, exc: Exception | None) -> None:
        self.registry.remove(self)
        self.registry.dropped.forget(self._flow)
        self._received.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._dropping:
            self.registry.drop(self._flow, self.client, len(data))
        if not self._lingering:
            self._received.add(data)
            self._feed()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays open: a client may end its side once its request is sent."""
        if self._lingering or not (self._answering or self._received.left):
            return False
        if not self._half_closed:
            self._half_closed = True
            if not self._received.left:
                self._announce_end()
            self.loop.call_later(PROBE_SECONDS, self._probe_peer)
        return True

    def on_message_begin(self) -> None:
        self._in_header = self._in_message = True
        self._since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        version, method = self.parser.get_http_version(), self.parser.get_method()
        body_bytes = check_header(version, method, self.headers)
        if self.parser.should_upgrade():
            # The parser takes what follows for another protocol: `_parse`.
            self._upgrade = method + b" " + self.url + b" HTTP/" + version.encode() + b"\r\n"
            return
        if self._refusal and not (method in (b"GET", b"HEAD") and self.url.startswith(HEALTH)):
            raise self._refusal
        super().on_headers_complete()
        self.cycle.transport = JoinedHead(self.transport, self.loop)  # type: ignore[assignment]
        self._received.body_left = body_bytes
        self._in_header, self._received.header_bytes = False, 0
        # Trailers are not taken for headers.
        self.headers = []
        self.cycle.keep_alive &= self._refusal is None

    def on_body(self, body: bytes) -> None:
        # What is neither header nor data, as trailers, is limited as a header is.
        self._received.header_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._upgrade:
            self._in_message = False
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._since = self.loop.time()
        if self._received.left and not self.transport.is_closing():
            # Not in the context of the request that was answered.
            self.loop.call_soon(self._go_on, context=self._context)

    def timeout_keep_alive_handler(self) -> None:
        """uvicorn's timer stops when anything is received; `check` does its work."""

    def check(self, now: float) -> None:
        """Closes the connection where the client has taken too long. now: the event loop's time."""
        if self._writes.stalled_seconds(now) >= self.registry.bounds.write_timeout:
            self.registry.metrics.connections_timed_out.labels("write").inc()
            self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self._half_closed:
            abort_if_gone(self.transport)
        elif (limit := self._limit_seconds()) is not None and now - self._since >= limit:
            if self._in_message and not self._lingering:
                self.registry.metrics.connections_timed_out.labels("read").inc()
            self.transport.close()

    def turn_away(self, refusal: Refusal) -> None:
        """Answers with the refusal, whatever may still arrive, and closes at once."""
        if self.cycle is None and not self._lingering and not self.transport.is_closing():
            self._refuse(refusal)
        self.transport.close()

    @property
    def idle(self) -> bool:
        return not (self._answering or self._in_body or self._lingering)

    @property
    def _answering(self) -> bool:
        """Whether a request is there, and its response is not complete."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not self._in_message

    @property
    def _in_body(self) -> bool:
        return self._in_message and not self._in_header

    @property
    def _dropping(self) -> bool:
        """Whether the client has its response, and what it still sends is dropped."""
        return self._lingering or (self._in_body and self.cycle.response_complete)

    def _limit_seconds(self) -> float | None:
        bounds = self.registry.bounds
        if self._dropping:
            return bounds.linger if self._lingering else bounds.header_timeout
        if self._answering or self._in_body:
            return None
        waiting = self._in_message or self.cycle is None
        return bounds.header_timeout if waiting else bounds.keep_alive_timeout

    def _feed(self) -> None:
        received = self._received
        while received.left:
            if self._answering:
                if received.left > MAX_UNPARSED_BYTES:
                    self._flow.hold()
                return
            piece = received.piece()
            if not self._in_body and self._header_is_too_large():
                return
            self._parse(piece)
            if self._lingering or self.transport.is_closing():
                return
            if not self._in_message:
                received.header_bytes = 0
            elif self._header_is_too_large():
                return
        if self._half_closed:
            self._announce_end()

    def _go_on(self) -> None:
        if self._received.left and not self.transport.is_closing():
            self._flow.release()
            self._feed()

    def _announce_end(self) -> None:
        """After the last request of a client that ended its side."""
        if self._answering:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _probe_peer(self) -> None:
        """A client that has left looks like one that ended its side, until it is sent something."""
        waits = not (self.transport.is_closing() or self.cycle.response_started)
        if waits and self.scope["http_version"] == "1.1":
            probe(self.transport, self.loop)

    def _header_is_too_large(self) -> bool:
        limit = self.registry.bounds.max_header_bytes
        if self._received.header_bytes <= limit:
            return False
        self._refuse(malformed(f"A header may have {limit} bytes. Received: more"))
        return True

    def _parse(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            # It is not taken. Another parser gets the header without it, and then the body.
            self.parser = httptools.HttpRequestParser(self)
            header = without_upgrade(self._upgrade, self.headers)
            self._upgrade = b""
            self._parse(header)
        except httptools.HttpParserError as error:
            told = error.__context__
            self._refuse(told if isinstance(told, Refusal) else malformed(f"No HTTP: {error}."))

    def _refuse(self, refusal: Refusal) -> None:
        """Answers, and drops the rest of what the client sends until it closes too."""
        if self._in_body:
            if self.cycle.response_started:
                # It has its answer, or a part of it.
                self.transport.close()
                return
            # As if the client had left.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.registry.record_refusal(refusal, self.client)
        self.transport.write(
            response(
                refusal,
                request_headers=self.scope["headers"] if self.scope else (),
                http_version="1.0" if self.parser.get_http_version() == "1.0" else "1.1",
                default_headers=self.server_state.default_headers,
                head=self._in_header and self.parser.get_method() == b"HEAD",
            )
        )
        self._lingering, self._since = True, self.loop.time()
        self._flow.release()
        self.transport.write_eof()


def protocol_of(registry: ConnectionRegistry) -> type[BoundedHttpProtocol]:
    """The class of connections that the registry counts."""
    return type("HttpProtocol", (BoundedHttpProtocol,), {"registry": registry})
