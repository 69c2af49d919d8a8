"""A crowd of clients that costs little: the load shares the CPUs with what it loads."""

from __future__ import annotations

import json
import select
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from tests.e2e.faults.load import ANSWER_SECONDS, BROKEN, Outcome, Report

READ_BYTES = 65536


@dataclass(slots=True, eq=False)
class Connection:
    """started: when its request was due to be sent; None while it is idle."""

    socket: socket.socket
    started: float | None = None
    fresh: bool = True
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    answer: bytes = b""


class Crowd:
    """Sends one request at a rate, whatever becomes of those before. One thread, one epoll.

    Connections are kept, and as many are opened as are needed.
    """

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._idle: deque[Connection] = deque()

    def run(self, per_second: float, seconds: float, report: Report) -> None:
        """Blocks, until all of them have an answer or have waited too long for it."""
        begun, sent = time.monotonic(), 0
        total = int(seconds * per_second)
        while sent < total or self._under_way:
            now = time.monotonic()
            while sent < total and begun + sent / per_second <= now:
                self._send(begun + sent / per_second, report)
                sent += 1
            if sent == total and now - begun > seconds + ANSWER_SECONDS:
                break
            due = begun + sent / per_second if sent < total else now + 1.0
            for number, events in self._poll.poll(max(0.001, due - time.monotonic())):
                self._ready(self._connections[number], events, report)
        for connection in list(self._connections.values()):
            self._drop(connection, "no answer", report)
        report.seconds += seconds
        self._poll.close()

    @property
    def _under_way(self) -> int:
        return len(self._connections) - len(self._idle)

    def _send(self, started: float, report: Report) -> None:
        connection = self._idle.pop() if self._idle else self._connect()
        connection.started, connection.answer = started, b""
        connection.unsent = memoryview(self._request)
        self._write(connection, report)

    def _connect(self) -> Connection:
        connection = Connection(socket.create_connection(("127.0.0.1", self._port)))
        connection.socket.setblocking(False)
        self._connections[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLIN)
        return connection

    def _ready(self, connection: Connection, events: int, report: Report) -> None:
        if events & select.EPOLLOUT:
            self._write(connection, report)
        if events & ~select.EPOLLOUT and connection.socket.fileno() >= 0:
            self._read(connection, report)

    def _write(self, connection: Connection, report: Report) -> None:
        waited = len(connection.unsent) < len(self._request)
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._drop(connection, type(error).__name__, report)
            return
        connection.unsent = connection.unsent[sent:]
        if waited or connection.unsent:
            events = select.EPOLLIN | (select.EPOLLOUT if connection.unsent else 0)
            self._poll.modify(connection.socket, events)

    def _read(self, connection: Connection, report: Report) -> None:
        try:
            read = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._drop(connection, type(error).__name__, report)
            return
        if not read:
            self._drop(connection, "closed", report)
            return
        connection.answer += read
        head, found, body = connection.answer.partition(b"\r\n\r\n")
        if not found or connection.started is None:
            return
        head = head.lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        status, reason = int(head[9:12]), ""
        if status != 200:
            with suppress(ValueError):
                reason = str(json.loads(body).get("code", ""))
        started, connection.started, connection.fresh = connection.started, None, False
        report.outcomes.append(Outcome(started, time.monotonic() - started, status, reason))
        self._idle.append(connection)
        if b"connection: close" in head:
            self._drop(connection, "", report)

    def _drop(self, connection: Connection, reason: str, report: Report) -> None:
        del self._connections[connection.socket.fileno()]
        connection.socket.close()
        if connection.started is None:
            self._idle.remove(connection)
        elif connection.fresh or connection.answer or reason == "no answer":
            waited = time.monotonic() - connection.started
            report.outcomes.append(Outcome(connection.started, waited, BROKEN, reason))
        else:
            # Closed while it was idle, as every client knows: once more on another.
            self._send(connection.started, report)
