"""One client's connection: uvicorn's own, with bounds on how long and how much a header may be."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedConnection(HttpToolsProtocol):
    """uvicorn waits for ever for a header, of any size, from whoever connects; this does not.

    How long a body may take, and how large it may be, is up to who reads it.
    """

    header_timeout_seconds = 10.0
    # nginx takes 32 kB in all, most servers less.
    max_header_bytes = 64 * 1024

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        # What comes first is a header.
        self._in_header = True
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
                self.send_400_response(f"A header may have {self.max_header_bytes} bytes.")
        elif self.cycle is not None and self.cycle.response_complete:
            # The rest of a body that nobody wanted: it must not keep the connection for ever.
            self._start_timer()

    def on_message_begin(self) -> None:
        self._in_header, self._header_bytes = True, 0
        self._start_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_header = False
        self._stop_timer()
        super().on_headers_complete()

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
