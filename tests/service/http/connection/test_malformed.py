"""What is no request: answered with a problem, counted, and the connection closed."""

from __future__ import annotations

import json
import re
import socket
import time

import pytest

from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import Service
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.http.connection.conftest import HEALTH, Connect, answer, until_closed
from tests.service.images import plain

RED = plain("red")
CHUNKED = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def problem_of(received: bytes, status: bytes = b"400 Bad Request") -> dict[str, object]:
    """The problem of the only response, which must be whole and say that it is the last."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] in (b"HTTP/1.1 " + status, b"HTTP/1.0 " + status), received
    headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"content-length"] == b"%d" % len(body)
    assert headers[b"connection"] == b"close"
    assert b"date" in headers
    problem: dict[str, object] = json.loads(body)
    assert str(problem["request_id"]).encode() == headers[b"x-request-id"]
    return problem


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nX: b\r\nhost: a\r\n\r\n",
        b"GET /health/live HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET /health/live\r\n\r\n",
        b"GET /health/live\r\n",
        b"GET /health/live HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /health/live HTTP/0.9\r\nHost: a\r\n\r\n",
        b"GET /health/live HTTP/9.9\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(60),
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /health/live HTTP/1.1\nHost: a\n\n",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET https://a:99999/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 300,
    ],
)
def test_what_is_no_request_is_refused(service: Service, connect: Connect, sent: bytes) -> None:
    """And what comes after it is not read."""
    connection = connect()
    connection.sendall(sent + HEALTH)
    problem = problem_of(until_closed(connection))
    assert problem["code"] == "malformed_request"
    assert service.sample("resnet_rejections_total", reason="malformed_request") == 1
    answered = {"route": "other", "method": "other", "status": "400"}
    assert service.sample("resnet_http_requests_total", **answered) == 1
    assert service.sample("resnet_http_requests_total", route="/health/live", method="GET") == 0


def test_the_problem_says_what_was_received(connect: Connect) -> None:
    for sent, detail in (
        (b"GET / HTTP/1.1\r\n\r\n", "A request has one Host. Received: 0"),
        (b"GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 and HTTP/1.0 are spoken here. Received: HTTP/2.0"),
        (b"FOO / HTTP/1.1\r\n\r\n", "No HTTP: Invalid method encountered."),
    ):
        connection = connect()
        connection.sendall(sent)
        assert problem_of(until_closed(connection))["detail"] == detail


def test_the_version_is_the_clients(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n")
    assert until_closed(connection).startswith(b"HTTP/1.0 400")


def test_an_older_client_needs_no_host(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
    received = until_closed(connection)
    assert received.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in received


def test_an_answer_before_a_malformed_request_stays_whole(connect: Connect) -> None:
    connection = connect()
    connection.sendall(HEALTH + b"GET / HTTP/1.1\r\n\r\n")
    assert answer(connection).startswith(b"HTTP/1.1 200")
    problem_of(until_closed(connection))


@pytest.mark.parametrize(
    "rest",
    [
        [b"zz\r\nabc"],
        [b"-1\r\nabc"],
        [b"5;ext=" + b"a" * 3000, b"a" * 3000],
        [b"0\r\nX-T: " + b"y" * 3000, b"y" * 3000],
        [b"0\r\n" + b"X: y\r\n" * 600, b"X: y\r\n" * 600],
    ],
    ids=["no number", "negative", "a long extension", "a long trailer", "many trailers"],
)
def test_a_body_that_breaks_off_is_refused(
    service: Service, connect: Connect, rest: list[bytes]
) -> None:
    connection = connect()
    for part in [CHUNKED + b"%x\r\n%b\r\n" % (len(RED), RED), *rest]:
        connection.sendall(part)
        time.sleep(0.1)
    problem_of(until_closed(connection))
    # What read it was told that the client has left.
    eventually(lambda: service.sample("resnet_rejections_total", reason="cancelled") == 1)


def test_trailers_are_no_headers(connect: Connect) -> None:
    connection = connect()
    chunks = b"%x\r\n%b\r\n0\r\nX-Request-ID: trailer\r\n\r\n" % (len(RED), RED)
    connection.sendall(CHUNKED + chunks + HEALTH)
    received = answer(connection)
    assert received.startswith(b"HTTP/1.1 200")
    assert b"trailer" not in received
    assert answer(connection).startswith(b"HTTP/1.1 200")


def test_a_body_that_breaks_off_after_its_answer_gets_no_second_one(connect: Connect) -> None:
    connection = connect()
    connection.sendall(CHUNKED.replace(b"/predict", b"/nowhere") + b"1\r\na\r\n")
    assert answer(connection).startswith(b"HTTP/1.1 404")
    connection.sendall(b"zz\r\n")
    assert until_closed(connection) == b""


@pytest.mark.parametrize(
    "path", ["/models/", "/docs/", "/docs", "/static-offline-docs", "//evil.example/", "/nowhere"]
)
def test_the_host_reaches_no_header(connect: Connect, path: str) -> None:
    """A redirect to it would lead a client elsewhere, out of a cache perhaps."""
    connection = connect()
    names = b"Host: evil.example\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n"
    connection.sendall(b"GET %b HTTP/1.1\r\n" % path.encode() + names)
    head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    assert not re.search(rb"(?i)location:|evil", head)
    assert b"evil" not in body or path.startswith("//evil")


def test_what_a_client_still_sends_does_not_lose_it_the_refusal(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(1_000_000))
    problem_of(until_closed(connection))


def test_a_client_that_does_not_close_after_it_is_left(service: Service, connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
    problem_of(until_closed(connection))
    eventually(lambda: service.sample("resnet_connections") == 0)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")
def test_nginx_sends_a_host_where_its_client_sent_none(service: Service) -> None:
    """As some balancers' probes in HTTP/1.0."""
    with (
        behind_nginx(service.app) as port,
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection,
    ):
        connection.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 200")
