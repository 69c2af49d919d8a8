"""One client's connection: uvicorn's own, with bounds on how long and how much a header may be."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.middleware.load_shedding import LoadShedding


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn waits for ever for a header, of any size, from whoever connects; this does not.

    How long a body may take, and how large it may be, is up to who reads it. What the app's door
    refuses is answered at once: no task is made for it and the application never hears of it.
    """

    header_timeout_seconds = 10.0
    # nginx takes 32 kB in all, most servers less.
    max_header_bytes = 64 * 1024

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._door: LoadShedding = self.config.app.state.door  # type: ignore[union-attr]
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
                self.send_400_response(f"A header may have {self.max_header_bytes} bytes.")
        elif self._in_message and self.cycle is not None and self.cycle.response_complete:
            # The rest of a body that nobody wanted: it must not keep the connection for ever.
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

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # One that was sent before the answer to another takes the long way: from here the next
        # in line would be begun, and from there the one after it.
        refusal = None
        if not self.pipeline:
            every = self.server_state.default_headers
            refusal = self._door.refuse(cycle.scope, every)  # type: ignore[arg-type]
        if refusal is None:
            super()._start_asgi_task(cycle, app)
            return
        self.transport.write(refusal)
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

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
