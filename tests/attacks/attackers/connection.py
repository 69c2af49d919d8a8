"""An attacker's TCP connection. A plain socket: data that is not asked for stays unread."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from dataclasses import dataclass, replace
from types import TracebackType

from tests.attacks.attackers.config import AttackerConfig, Link

READ_BYTES = 1 << 16
# Sent at once, before the link is asked whether it has carried it.
PIECE_BYTES = 1 << 16
CONNECT_SECONDS = 5.0
# Linux; in Python's socket module from 3.12 on.
IP_BIND_ADDRESS_NO_PORT = 24
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")
# How a connection fails that the server refuses, closes or does not answer.
CONNECTION_ERRORS = (OSError, EOFError, ValueError, asyncio.TimeoutError)


@dataclass(frozen=True)
class HttpResponse:
    """head: the status line and the headers, in lower case. closes: no further request can be sent
    on the connection."""

    status: int
    head: bytes
    body: bytes
    closes: bool


class Connection:
    """Opened by `open`, closed by `async with`. Reads nothing ahead."""

    def __init__(self, opened: socket.socket, link: Link) -> None:
        self._socket = opened
        self._link = link
        self._read = b""

    @classmethod
    async def open(cls, config: AttackerConfig, *, receive_bytes: int | None = None) -> Connection:
        """receive_bytes: size of the system's receive buffer. Raises OSError or TimeoutError."""
        opened = socket.socket()
        try:
            opened.setblocking(False)
            if receive_bytes is not None:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            opened.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            opened.bind((config.source, 0))
            loop = asyncio.get_running_loop()
            connecting = loop.sock_connect(opened, ("127.0.0.1", config.port))
            await asyncio.wait_for(connecting, CONNECT_SECONDS)
        except BaseException:
            opened.close()
            raise
        return cls(opened, config.link)

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._socket.close()

    async def send(self, data: bytes | memoryview) -> None:
        """As fast as the attacker's link carries it."""
        loop, whole = asyncio.get_running_loop(), memoryview(data)
        for start in range(0, len(whole), PIECE_BYTES):
            piece = whole[start : start + PIECE_BYTES]
            await loop.sock_sendall(self._socket, piece)
            await self._link.carry(len(piece))

    async def receive(self, most_bytes: int = READ_BYTES) -> bytes:
        """Empty once the server has closed the connection."""
        return await asyncio.get_running_loop().sock_recv(self._socket, most_bytes)

    async def response(self) -> HttpResponse:
        """The next response, complete; interim responses are skipped.

        Raises EOFError where the server closes the connection before its end.
        """
        while b"\r\n\r\n" not in self._read:
            await self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        head = head.lower()
        status = int(head[9:12])
        if 100 <= status < 200:
            return await self.response()
        length = LENGTH.search(head)
        wanted = 0 if length is None else int(length[1])
        parts, read = [self._read[:wanted]], min(len(self._read), wanted)
        self._read = self._read[wanted:]
        while read < wanted:
            part = await self.receive()
            if not part:
                raise EOFError
            parts.append(part[: wanted - read])
            self._read = part[wanted - read :]
            read += len(parts[-1])
        closes = b"\r\nconnection: close" in head
        return HttpResponse(status, head, b"".join(parts), closes)

    async def exchange(self, request: bytes) -> HttpResponse:
        """Sends and reads concurrently; a response that comes early ends the sending."""
        sending = asyncio.ensure_future(self.send(request))
        try:
            response = await self.response()
            sent = sending.done() and sending.exception() is None
            return response if sent else replace(response, closes=True)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def received(self, seconds: float) -> bytes:
        """All that is received until the server closes the connection, or within so long."""

        async def read() -> None:
            while part := await self.receive():
                self._read += part

        with contextlib.suppress(*CONNECTION_ERRORS):
            await asyncio.wait_for(read(), seconds)
        return self._read

    def half_close(self) -> None:
        """Ends the sending direction only."""
        self._socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Closes with a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    async def _more(self) -> None:
        part = await self.receive()
        if not part:
            raise EOFError
        self._read += part
