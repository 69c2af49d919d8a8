"""One client's connection: uvicorn's, with limits on a header's size and on the time it takes.

Only uvicorn's own server uses this class. Behind another ASGI server these two limits are that
server's, or nginx's (`client_header_timeout`, `large_client_header_buffers`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose header is too slow or too large; uvicorn would wait for ever.

    The body's time and size are limited by the code that reads it.
    """

    header_timeout_seconds = 10.0
    # nginx takes 32 KiB in all, most servers less.
    max_header_bytes = 64 * 1024

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._in_header = False
        self._in_message = False
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        continued = self._in_header
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_header and continued:
            self._header_bytes += len(data)
            if self._header_bytes > self.max_header_bytes:
                self.send_400_response(
                    f"A header may have {self.max_header_bytes} bytes. Received: more"
                )
        elif self._in_message and self.cycle is not None and self.cycle.response_complete:
            # The rest of a body whose request has its response: it may not take for ever either.
            self._start_timer()

    def on_message_begin(self) -> None:
        self._in_header, self._in_message, self._header_bytes = True, True, 0
        self._start_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_header = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_message = False
        self._stop_timer()
        super().on_message_complete()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_timeout_seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
