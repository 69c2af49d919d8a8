"""Many requests at once, answers that nobody reads, and clients that leave or end their side."""

from __future__ import annotations

import contextlib
import gc
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.http.connection import protocol
from service.http.connection.descriptors import SEND_BUFFER_BYTES
from service.http.connection.peer import CONTINUE, LEAST_BYTES
from service.http.connection.protocol import BoundedHttpProtocol
from tests.service.conftest import Loop, Serve, Service, listening
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.http.connection.conftest import HASTY, HEALTH, Connect, answer, until_closed
from tests.service.images import plain

RED = plain("red")
# 1.5 MB, far more than the system keeps for a socket.
LARGE = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n"
EMPTY_POST = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
PATIENT = replace(HASTY, write_timeout=WAIT_SECONDS, header_timeout=WAIT_SECONDS)


def post(body: bytes, version: bytes = b"1.1") -> bytes:
    return (
        b"POST /predict HTTP/%b\r\nHost: a\r\nContent-Type: image/png\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (version, len(body), body)
    )


@contextlib.contextmanager
def reader_of_nothing(port: int) -> Iterator[socket.socket]:
    """A connection whose system keeps little of what is not read."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(WAIT_SECONDS)
        connection.connect(("127.0.0.1", port))
        yield connection


@contextlib.contextmanager
def sending(connection: socket.socket, data: bytes) -> Iterator[None]:
    """In a thread, until the server takes no more or all is sent."""

    def send() -> None:
        with contextlib.suppress(OSError):
            connection.sendall(data)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join(WAIT_SECONDS)


def living(kind: type) -> list[object]:
    """The objects of a class that are alive."""
    return [one for one in gc.get_objects() if type(one) is kind]


def of_the_server() -> BoundedHttpProtocol:
    """The server's side of the only connection, once it is there."""
    found: list[BoundedHttpProtocol] = []

    def is_there() -> bool:
        found[:] = [
            one
            for one in gc.get_objects()
            if isinstance(one, BoundedHttpProtocol)
            and one.transport
            and not one.transport.is_closing()
        ]
        return len(found) == 1

    eventually(is_there)
    return found[0]


@pytest.mark.parametrize("number", [100, 5000])
def test_all_of_many_requests_are_answered(service: Service, loop: Loop, number: int) -> None:
    """The limit of a header is for each of them."""
    with (
        listening(service.app, PATIENT, loop) as port,
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection,
        sending(connection, HEALTH * number),
    ):
        for _ in range(number):
            assert answer(connection).startswith(b"HTTP/1.1 200")


def test_all_are_answered_before_the_connection_of_a_client_that_ended_its_side_is_closed(
    connect: Connect,
) -> None:
    connection = connect()
    with sending(connection, HEALTH * 3000 + post(RED)):
        first = answer(connection)
    connection.shutdown(socket.SHUT_WR)
    received = first + until_closed(connection)
    assert received.count(b"HTTP/1.1 200") == 3001
    assert b"connection: close" in received[-2000:]


def test_requests_that_wait_are_not_parsed(service: Service, loop: Loop) -> None:
    """They would take a hundred times their bytes, and another one's memory."""
    before = len(living(RequestResponseCycle))
    with (
        listening(service.app, PATIENT, loop) as port,
        service.engine.blocked(),
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection,
        sending(connection, post(RED) + EMPTY_POST * 20_000),
    ):
        service.engine.wait_until_busy()
        time.sleep(0.3)
        assert len(living(RequestResponseCycle)) - before <= 1
        # A read is 256 KiB at most.
        assert of_the_server()._received.left <= protocol.MAX_UNPARSED_BYTES + 2**18
        service.engine.release()
        assert answer(connection).startswith(b"HTTP/1.1 200")
        for _ in range(100):
            assert answer(connection).startswith(b"HTTP/1.1 415")
        connection.close()


def test_what_is_not_read_is_not_buffered(
    serve: Serve, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals too. A response may exceed what the system and uvicorn hold, once."""
    service = serve(queue_wait_limit_seconds=50)
    monkeypatch.setattr(type(service.model.admission), "wait_seconds", 100.0)
    with (
        listening(service.app, PATIENT, loop) as port,
        reader_of_nothing(port) as connection,
        sending(connection, EMPTY_POST * 40_000),
    ):
        connection_of_server = of_the_server()
        eventually(lambda: connection_of_server.flow.write_paused)
        time.sleep(0.3)
        assert connection_of_server.transport.get_write_buffer_size() < 70_000
        assert connection_of_server._received.left <= protocol.MAX_UNPARSED_BYTES + 2**18
        connection.close()


@pytest.mark.parametrize("requests", [LARGE, LARGE * 20, EMPTY_POST * 20_000])
def test_a_client_that_reads_nothing_is_left(service: Service, port: int, requests: bytes) -> None:
    with reader_of_nothing(port) as connection, sending(connection, requests):
        eventually(lambda: service.sample("resnet_connections_timed_out_total", phase="write") == 1)
        eventually(lambda: service.sample("resnet_connections") == 0)


def test_the_system_keeps_little_of_what_is_not_read(service: Service, loop: Loop) -> None:
    with listening(service.app, PATIENT, loop) as port, reader_of_nothing(port) as connection:
        connection.sendall(LARGE)
        connection_of_server = of_the_server()
        eventually(lambda: connection_of_server.flow.write_paused)
        sock = connection_of_server.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES


def test_a_client_that_reads_slowly_is_not(service: Service, port: int) -> None:
    """Ten times, and each time less than half the time that it may take for nothing."""
    with reader_of_nothing(port) as connection:
        connection.sendall(LARGE.replace(b"Host: a", b"Host: a\r\nConnection: close"))
        received = b""
        for number in range(1, 11):
            time.sleep(0.4 * HASTY.write_timeout)
            while len(received) < number * LEAST_BYTES:
                received += connection.recv(65536)
        received += until_closed(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(body) in head
    assert service.sample("resnet_connections_timed_out_total", phase="write") == 0


def test_a_client_that_reads_next_to_nothing_is_left(service: Service, port: int) -> None:
    """It would keep a large answer in memory for as long as it likes."""
    with reader_of_nothing(port) as connection:
        connection.sendall(LARGE)
        left = "resnet_connections_timed_out_total"

        def is_left() -> bool:
            time.sleep(0.2 * HASTY.write_timeout)
            with contextlib.suppress(ConnectionError):
                connection.recv(3000)
            return service.sample(left, phase="write") == 1

        eventually(is_left)
        eventually(lambda: service.sample("resnet_connections") == 0)


def test_clients_that_leave_are_no_errors(
    service: Service, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty large answers each, none of them read."""
    with caplog.at_level(logging.INFO), contextlib.ExitStack() as stack:
        for _ in range(30):
            connection = stack.enter_context(reader_of_nothing(port))
            connection.sendall(LARGE * 20)
        time.sleep(0.3)
    eventually(lambda: service.sample("resnet_connections") == 0)
    time.sleep(0.3)
    levels = Counter(record.levelname for record in caplog.records)
    assert levels["ERROR"] == levels["CRITICAL"] == levels["WARNING"] == 0
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_client_that_ended_its_side_gets_its_answer(
    service: Service, connect: Connect, version: bytes
) -> None:
    """As `nc` does, and some libraries."""
    with service.engine.blocked():
        connection = connect()
        connection.sendall(post(RED, version))
        connection.shutdown(socket.SHUT_WR)
        service.engine.wait_until_busy()
        # Longer than the peer's absence would take to be seen.
        time.sleep(0.5)
        service.engine.release()
        received = until_closed(connection).removeprefix(CONTINUE)
    assert received.startswith(b"HTTP/1.1 200"), received
    assert b"connection: close" in received
    assert b'"label":"red"' in received


def test_a_quick_answer_to_such_a_client_is_all_that_it_gets(connect: Connect) -> None:
    connection = connect()
    connection.sendall(HEALTH)
    connection.shutdown(socket.SHUT_WR)
    assert until_closed(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_ended_its_side_within_its_request_has_left(
    service: Service, connect: Connect
) -> None:
    connection = connect()
    connection.sendall(post(RED)[:-10])
    connection.shutdown(socket.SHUT_WR)
    assert until_closed(connection) == b""
    eventually(lambda: service.sample("resnet_rejections_total", reason="cancelled") == 1)


def test_a_client_that_left_is_not_taken_for_one_that_ended_its_side(
    service: Service, connect: Connect
) -> None:
    """Both look the same until something is sent: its image is dropped before it is computed."""
    with service.engine.blocked(), connect() as stays:
        stays.sendall(post(RED))
        service.engine.wait_until_busy()
        with connect() as leaves:
            leaves.sendall(post(RED))
            eventually(lambda: service.model.queue_depth == 1)
        eventually(lambda: service.sample("resnet_rejections_total", reason="cancelled") == 1)
        service.engine.release()
        assert answer(stays).startswith(b"HTTP/1.1 200")
    assert service.engine.batches == [1]
