"""The head of a response leaves together with the beginning of its body."""

from __future__ import annotations

import asyncio


class JoinedHead:
    """The transport of one request and its response, as uvicorn writes to it.

    uvicorn writes a head, then a body: two calls of the system and two packets. Here the first of
    what is written waits for the second, and no longer than until the event loop's next turn.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None
        self._joined = False

    def write(self, data: bytes) -> None:
        if not self._joined:
            self._joined, self._held = True, data
            self._loop.call_soon(self._flush)
        elif self._held is None:
            self._transport.write(data)
        else:
            head, self._held = self._held, None
            self._transport.write(head + data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._held is not None:
            head, self._held = self._held, None
            self._transport.write(head)
