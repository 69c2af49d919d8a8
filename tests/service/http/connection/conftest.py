"""Connections to a real server with little patience."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Iterator

import pytest

from service.http.connection.bounds import Bounds
from tests.service.conftest import Loop, Service, listening
from tests.service.fakes import WAIT_SECONDS

Connect = Callable[[], socket.socket]

HASTY = Bounds(
    max_connections=500, header_timeout=0.5, write_timeout=0.5, linger=0.5, max_header_bytes=5000
)
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture
def port(service: Service, loop: Loop) -> Iterator[int]:
    with listening(service.app, HASTY, loop) as port:
        yield port


@pytest.fixture
def connect(port: int) -> Iterator[Connect]:
    with contextlib.ExitStack() as stack:

        def one() -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
            return stack.enter_context(connection)

        yield one


def answer(connection: socket.socket) -> bytes:
    """One whole response, or what there is of it where the server closes; no byte of the next."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if end and len(body) == (expected := int(length[1]) if length else 0):
            return received
        if end:
            part = connection.recv(expected - len(body))
        else:
            part = connection.recv(65536, socket.MSG_PEEK)
            found = (received + part).find(b"\r\n\r\n")
            part = connection.recv(len(part) if found < 0 else found + 4 - len(received))
        if not part:
            return received
        received += part


def until_closed(connection: socket.socket) -> bytes:
    """All that the server says before it closes; it fails, by a timeout, where it does not."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received
