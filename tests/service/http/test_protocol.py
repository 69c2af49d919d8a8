"""Clients that take their time, or never come to an end, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest
import uvicorn
from uvicorn.server import ServerState

from service.http.protocol import BoundedHttpProtocol
from tests.service.conftest import Serve, Service, listening
from tests.service.fakes import WAIT_SECONDS
from tests.service.images import plain

RED = plain("red")
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"


class Hasty(BoundedHttpProtocol):
    header_timeout_seconds = 0.5
    max_header_bytes = 5000


@pytest.fixture
def port(service: Service) -> Iterator[int]:
    with listening(service.app, Hasty) as port:
        yield port


@pytest.fixture
def connect(port: int) -> Iterator[Callable[[], socket.socket]]:
    with contextlib.ExitStack() as stack:

        def one() -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
            return stack.enter_context(connection)

        yield one


def until_closed(connection: socket.socket) -> bytes:
    """All that the server says before it closes; it fails, by a timeout, where it does not."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received


def said_to(service: Service, *parts: bytes) -> bytes:
    """What the server says at once to what it reads in just these parts."""
    said = bytearray()

    class Transport(asyncio.Transport):
        closing = False

        def write(self, data: bytes | bytearray | memoryview) -> None:
            said.extend(data)

        def is_closing(self) -> bool:
            return self.closing

        def close(self) -> None:
            self.closing = True

        def pause_reading(self) -> None:
            pass

    async def feed() -> bytes:
        config = uvicorn.Config(service.app, http=Hasty, ws="none", lifespan="off", log_config=None)
        config.load()
        connection = Hasty(config=config, server_state=ServerState(), app_state={})
        connection.connection_made(Transport())
        for part in parts:
            connection.data_received(part)
        connection.connection_lost(None)
        return bytes(said)

    return asyncio.run(feed())


Connect = Callable[[], socket.socket]


def test_who_says_nothing_is_left(connect: Connect) -> None:
    assert until_closed(connect()) == b""


def test_who_never_ends_a_header_is_left(connect: Connect) -> None:
    """Each byte in time, the whole never."""
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - started < WAIT_SECONDS:
            connection.send(b"G")
            time.sleep(0.02)
        pytest.fail("the server still listens")


def test_a_second_header_must_come_in_time_too(connect: Connect) -> None:
    connection = connect()
    connection.sendall(HEALTH)
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    connection.sendall(HEALTH[:20])
    assert until_closed(connection) == b""


def test_an_idle_connection_stays_open_as_long_as_it_may(connect: Connect) -> None:
    """What is bounded is a header that was begun."""
    connection = connect()
    for _ in range(2):
        connection.sendall(HEALTH)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(2 * Hasty.header_timeout_seconds)


def test_a_header_without_end_is_refused(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
    with contextlib.suppress(ConnectionError):
        for _ in range(3):
            connection.sendall(b"a" * 3000)
            time.sleep(0.05)
    assert b"A header may have 5000 bytes." in until_closed(connection)


def test_a_header_may_be_as_long_as_it_may(service: Service) -> None:
    """The part that it begins in is not counted, for others may have ended in that."""
    begins = HEALTH * 200 + b"GET / HTTP/1.1\r\nX-Long: "
    assert said_to(service, begins, b"a" * 4000, b"a" * 1000) == b""
    assert b"A header may have 5000 bytes." in said_to(service, begins, b"a" * 4000, b"a" * 1001)


def test_many_headers_are_one_header(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(30):
            connection.sendall(b"X-Short: value\r\n" * 30)
            time.sleep(0.01)
    assert b"A header may have 5000 bytes." in until_closed(connection)


def test_a_large_body_is_no_header(port: int) -> None:
    body = RED + bytes(1_000_000)
    response = httpx2.post(f"http://127.0.0.1:{port}/predict", files={"file": body})
    assert response.status_code == 200


def test_a_body_that_comes_with_the_end_of_its_header_is_no_header(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n")
    time.sleep(0.1)
    body = RED + bytes(6000)
    connection.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_body_may_take_longer_than_a_header(connect: Connect) -> None:
    connection = connect()
    connection.sendall(
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
        b"Content-Length: %d\r\n\r\n" % len(RED)
    )
    for part in (RED[:20], RED[20:]):
        time.sleep(1.5 * Hasty.header_timeout_seconds)
        connection.sendall(part)
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_body_that_nobody_wants_does_not_keep_the_connection(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 404")
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - started < WAIT_SECONDS:
            connection.send(b"x")
            time.sleep(0.02)
        pytest.fail("the server still listens")


def test_a_body_that_nobody_wanted_and_that_is_over_leaves_the_connection_as_it_was(
    connect: Connect,
) -> None:
    connection = connect()
    connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 404")
    for _ in range(2):
        connection.sendall(b"0123456789")
        time.sleep(0.1)
    time.sleep(2 * Hasty.header_timeout_seconds)
    connection.sendall(HEALTH)
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_two_hundred_slow_clients_and_an_honest_one(serve: Serve) -> None:
    """The honest one is answered while they drip, and every one of them is left in the end."""
    service = serve()
    with listening(service.app, Hasty) as port, contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), WAIT_SECONDS))
            for _ in range(200)
        ]
        for connection in slow:
            connection.sendall(b"POST /predict HTTP/1.1\r\nX-")
        url = f"http://127.0.0.1:{port}/predict"
        answers = [httpx2.post(url, files={"file": RED}).status_code for _ in range(5)]
        assert answers == [200] * 5
        for connection in slow:
            assert until_closed(connection) == b""


@pytest.mark.parametrize(
    "smuggled",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5, 5\r\n",
        b" Content-Length: 5\r\n",
        b"Content-Length: 5\nX: a\r\n",
    ],
)
def test_a_length_that_two_servers_may_read_differently_is_refused(
    connect: Connect, smuggled: bytes
) -> None:
    """What nginx takes for one request is never taken for two."""
    connection = connect()
    connection.sendall(
        b"POST /predict HTTP/1.1\r\nHost: a\r\n" + smuggled + b"\r\n0\r\n\r\n" + HEALTH
    )
    answers = until_closed(connection)
    assert b"HTTP/1.1 200" not in answers
    assert answers.startswith((b"HTTP/1.1 400", b"HTTP/1.1 415")) or answers == b""


def test_the_real_bounds() -> None:
    assert BoundedHttpProtocol.header_timeout_seconds == 10
    assert BoundedHttpProtocol.max_header_bytes == 65536
