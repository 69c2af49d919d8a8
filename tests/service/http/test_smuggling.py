"""Requests that two servers might count differently, through nginx with the project's own rules."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import Service
from tests.service.fakes import WAIT_SECONDS, eventually

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed (Debian: nginx-light)"
)

# What a second reading of the bytes would take for a request of its own.
LOGGER = "service.http.middleware.access_log"
HIDDEN = b"GET /models HTTP/1.1\r\nHost: a\r\nX-Request-ID: hidden\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
IN_A_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
ENDED_EARLY = b"0\r\n\r\n" + HIDDEN


def length(number: int) -> bytes:
    return b"Content-Length: %d\r\n" % number


def answers(port: int, sent: bytes) -> bytes:
    """All that comes back until nginx closes, as it is asked to or as it does on an error."""
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection:
        connection.sendall(sent)
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                received += part
        return received


def seen_until(last: str, log_lines: Callable[[], list[dict[str, Any]]]) -> list[str]:
    """The ids of what the service answered; a line is written after its answer is sent."""

    def seen() -> list[str]:
        return [line["request_id"] for line in log_lines() if line["logger"] == LOGGER]

    eventually(lambda: last in seen())
    return seen()


@pytest.fixture
def port(service: Service) -> Iterator[int]:
    with behind_nginx(service.app) as port:
        yield port


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (length(len(ENDED_EARLY)) + CHUNKED, ENDED_EARLY),
        (CHUNKED + length(4), IN_A_CHUNK),
        (CHUNKED + b"Transfer-Encoding: identity\r\n", ENDED_EARLY),
        (CHUNKED + CHUNKED, ENDED_EARLY),
        (b"Transfer-Encoding: xchunked\r\n" + length(5), ENDED_EARLY),
        (b"Transfer-Encoding : chunked\r\n", ENDED_EARLY),
        (length(0) + length(len(HIDDEN)), HIDDEN),
        (b"Content-Length: 0, %d\r\n" % len(HIDDEN), HIDDEN),
        (b"X-Folded: a\r\n " + length(len(HIDDEN)), HIDDEN),
        (b"Transfer-Encoding:\r\n chunked\r\n", IN_A_CHUNK),
        (b"X: a\nContent-Length: %d\n" % len(HIDDEN), HIDDEN),
        (CHUNKED, b"%x;a=b\r\n%b\r\n0;c\r\n\r\n" % (len(HIDDEN), HIDDEN)),
        (CHUNKED, b"%x;a\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
        (CHUNKED, b"-1\r\n" + ENDED_EARLY),
    ],
    ids=[
        "CL.TE",
        "TE.CL",
        "TE.TE identity",
        "TE.TE twice",
        "unknown TE",
        "space before the colon",
        "two lengths",
        "a list of lengths",
        "folded length",
        "folded TE",
        "bare LF",
        "chunk extension",
        "chunk extension with a bare LF",
        "negative chunk",
    ],
)
def test_no_request_hides_in_another(
    port: int, log_lines: Callable[[], list[dict[str, Any]]], headers: bytes, body: bytes
) -> None:
    """The client gets the response to its request, and the next client gets its own."""
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nX-Request-ID: outer\r\n"
    kind = b"Content-Type: text/plain\r\nConnection: close\r\n"
    received = answers(port, head + kind + headers + b"\r\n" + body)
    assert received.count(b"HTTP/1.1 ") <= 1
    assert received[9:12] in (b"400", b"415", b"501"), received

    after = b"GET /models HTTP/1.1\r\nHost: a\r\nX-Request-ID: next\r\nConnection: close\r\n\r\n"
    answer = answers(port, after)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"x-request-id: next" in answer.lower()

    passed_on = received[9:12] == b"415"
    assert seen_until("next", log_lines) == [*(["outer"] if passed_on else []), "next"]


def test_two_requests_that_are_two_get_two_answers(
    port: int, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """So the counts above can tell one from two."""
    closing = HIDDEN.replace(b"hidden\r\n", b"second\r\nConnection: close\r\n")
    received = answers(port, HIDDEN + closing)
    assert received.count(b"HTTP/1.1 200") == 2
    assert seen_until("second", log_lines) == ["hidden", "second"]
