"""What is nginx's own to limit, with the project's rules."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import Service
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.connection.conftest import HEALTH, answer, until_closed
from tests.service.images import plain

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed (Debian: nginx-light)"
)

RED = plain("red")
POST = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(RED), RED)
)


def test_one_client_may_send_so_many_requests_at_once(service: Service) -> None:
    rules = {"limit_conn clients 256;": "limit_conn clients 2;"}
    with (
        behind_nginx(service.app, rules) as port,
        contextlib.ExitStack() as stack,
        service.engine.blocked(),
    ):

        def connect(address: str = "127.0.0.1") -> socket.socket:
            connection = socket.create_connection(
                ("127.0.0.1", port), WAIT_SECONDS, source_address=(address, 0)
            )
            return stack.enter_context(connection)

        waiting = [connect(), connect()]
        for connection in waiting:
            connection.sendall(POST)
        service.engine.wait_until_busy()
        third = connect()
        third.sendall(POST)
        head, _, body = answer(third).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 429")
        problem = json.loads(body)
        assert (problem["status"], problem["code"]) == (429, "too_many_connections")
        other = connect("127.0.0.2")
        other.sendall(HEALTH)
        assert answer(other).startswith(b"HTTP/1.1 200")
        service.engine.release()
        for connection in waiting:
            assert answer(connection).startswith(b"HTTP/1.1 200")


def test_a_slow_header_ends_the_connection(service: Service) -> None:
    rules = {"client_header_timeout 10s;": "client_header_timeout 1s;"}
    with (
        behind_nginx(service.app, rules) as port,
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        assert b"200" not in until_closed(connection)
