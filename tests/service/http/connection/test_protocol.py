"""Clients that take their time, or never come to an end, over a real socket."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import replace

import httpx2
import pytest

from service.http.connection.bounds import Bounds
from service.settings import Settings
from tests.service.conftest import Loop, Serve, Service, listening
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.connection.conftest import HASTY, HEALTH, Connect, answer, until_closed
from tests.service.images import plain

RED = plain("red")


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
    assert answer(connection).startswith(b"HTTP/1.1 200")
    connection.sendall(HEALTH[:20])
    assert until_closed(connection) == b""


def test_an_idle_connection_stays_open_as_long_as_it_may(connect: Connect) -> None:
    """What is bounded is a header that was begun."""
    connection = connect()
    for _ in range(2):
        connection.sendall(HEALTH)
        assert answer(connection).startswith(b"HTTP/1.1 200")
        time.sleep(2 * HASTY.header_timeout)


def test_a_header_without_end_is_refused(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
    with contextlib.suppress(ConnectionError):
        for _ in range(3):
            connection.sendall(b"a" * 3000)
            time.sleep(0.05)
    assert b"A header may have 5000 bytes." in until_closed(connection)


def header_of(length: int) -> bytes:
    """A header of just so many bytes."""
    start, end = b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Long: ", b"\r\n\r\n"
    return start + b"a" * (length - len(start) - len(end)) + end


@pytest.mark.parametrize("parts", [1, 3])
def test_a_header_may_be_as_long_as_it_may(connect: Connect, parts: int) -> None:
    """In one segment or in many, and after other requests."""
    for length, status in ((5000, b"200"), (5001, b"400")):
        connection = connect()
        connection.sendall(HEALTH * 20)
        sent = header_of(length)
        for part in range(parts):
            connection.sendall(sent[part * 2000 : (part + 1) * 2000 if part < parts - 1 else None])
            time.sleep(0.05)
        connection.shutdown(socket.SHUT_WR)
        answers = until_closed(connection)
        assert answers.count(b"HTTP/1.1 200") == 20 + (status == b"200")
        assert answers.count(b"HTTP/1.1 400") == (status == b"400")


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
    assert answer(connection).startswith(b"HTTP/1.1 200")


def test_a_body_may_take_longer_than_a_header(connect: Connect) -> None:
    connection = connect()
    connection.sendall(
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
        b"Content-Length: %d\r\n\r\n" % len(RED)
    )
    for part in (RED[:20], RED[20:]):
        time.sleep(1.5 * HASTY.header_timeout)
        connection.sendall(part)
    assert answer(connection).startswith(b"HTTP/1.1 200")


def test_a_body_that_nobody_wants_does_not_keep_the_connection(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    assert answer(connection).startswith(b"HTTP/1.1 404")
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
    assert answer(connection).startswith(b"HTTP/1.1 404")
    for _ in range(2):
        connection.sendall(b"0123456789")
        time.sleep(0.1)
    time.sleep(2 * HASTY.header_timeout)
    connection.sendall(HEALTH)
    assert answer(connection).startswith(b"HTTP/1.1 200")


def test_two_hundred_slow_clients_and_an_honest_one(serve: Serve) -> None:
    """The honest one is answered while they drip, and every one of them is left in the end."""
    service = serve()
    with listening(service.app, HASTY) as port, contextlib.ExitStack() as stack:
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
    bounds = Bounds.of(Settings.of(write_timeout_seconds=7, keep_alive_timeout_seconds=8))
    assert (bounds.header_timeout, bounds.max_header_bytes) == (10, 65536)
    assert (bounds.write_timeout, bounds.keep_alive_timeout) == (7, 8)
    assert bounds.poll_seconds == 0.5


@pytest.mark.parametrize("idle", [b"", b"\r\n", b"\r\n\r\n"])
def test_empty_lines_do_not_keep_an_idle_connection(
    service: Service, loop: Loop, idle: bytes
) -> None:
    """Neither a new one nor one that has had its answer."""
    bounds = replace(HASTY, keep_alive_timeout=0.5)
    with (
        listening(service.app, bounds, loop) as port,
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as new,
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as kept,
    ):
        kept.sendall(HEALTH)
        assert answer(kept).startswith(b"HTTP/1.1 200")
        for connection in (new, kept):
            connection.sendall(idle)
            assert until_closed(connection) == b""


def test_a_client_that_sends_empty_lines_all_the_time_is_left(connect: Connect) -> None:
    connection = connect()
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - started < WAIT_SECONDS:
            connection.send(b"\r\n")
            time.sleep(0.02)
        pytest.fail("the server still listens")


def test_headers_and_bodies_that_took_too_long_are_counted(
    service: Service, connect: Connect
) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\n")
    assert until_closed(connection) == b""
    assert until_closed(connect()) == b""
    assert service.sample("resnet_connections_timed_out_total", phase="read") == 1
