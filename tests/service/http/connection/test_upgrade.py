"""An upgrade that is not taken is ignored: `curl --http2`, Java's HttpClient, a proxy's rules."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import Service
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.connection.conftest import HEALTH, Connect, answer, until_closed
from tests.service.images import plain

OURS: dict[str, str] = {}
# What many a page on nginx recommends for WebSockets.
SNIPPET = {
    'proxy_set_header Connection "";': (
        'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
    )
}
CURL = shutil.which("curl")
RED = plain("red")
ACCESS = "service.http.middleware.access_log"
# What a second reading of a body would take for a request of its own.
HIDDEN = b"GET /models HTTP/1.1\r\nHost: a\r\nX-Request-ID: hidden\r\n\r\n"
UPGRADE = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
)


def head(framing: bytes, upgrade: bytes = UPGRADE, kind: bytes = b"image/png") -> bytes:
    return (
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: " + kind + b"\r\n"
        b"X-Request-ID: outer\r\n" + upgrade + framing + b"\r\n"
    )


def by_length(body: bytes) -> tuple[bytes, bytes]:
    return b"Content-Length: %d\r\n" % len(body), body


def chunked(body: bytes) -> tuple[bytes, bytes]:
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return b"Transfer-Encoding: chunked\r\n", chunks + b"0\r\n\r\n"


Frame = Callable[[bytes], tuple[bytes, bytes]]
framings = pytest.mark.parametrize("frame", [by_length, chunked])


@framings
@pytest.mark.parametrize("segments", [1, 2, 7])
def test_the_body_belongs_to_its_request(connect: Connect, frame: Frame, segments: int) -> None:
    """In one segment, with the header alone in the first, or in many."""
    framing, body = frame(RED)
    sent = head(framing) + body
    ends = {1: [], 2: [len(head(framing))], 7: list(range(40, len(sent), len(sent) // 6))}[segments]
    connection = connect()
    for start, end in zip([0, *ends], [*ends, len(sent)], strict=True):
        connection.sendall(sent[start:end])
        time.sleep(0.02)
    received = answer(connection)
    assert received.startswith(b"HTTP/1.1 200"), received
    assert b'"label":"red"' in received
    # And the connection goes on.
    connection.sendall(HEALTH)
    assert answer(connection).startswith(b"HTTP/1.1 200")


@framings
@pytest.mark.parametrize("together", [True, False])
def test_a_body_is_never_read_as_a_request(
    connect: Connect,
    log_lines: Callable[[], list[dict[str, Any]]],
    frame: Frame,
    together: bool,
) -> None:
    framing, body = frame(HIDDEN)
    connection = connect()
    sent = head(framing, kind=b"text/plain")
    if together:
        connection.sendall(sent + body)
    else:
        connection.sendall(sent)
        time.sleep(0.1)
        connection.sendall(body)
    connection.shutdown(socket.SHUT_WR)
    received = until_closed(connection)
    assert received.count(b"HTTP/1.1 415") == 1
    assert received.count(b"HTTP/1.1 200") == 0
    assert [line["request_id"] for line in log_lines() if line["logger"] == ACCESS] == ["outer"]


@pytest.mark.parametrize(
    "upgrade",
    [
        b"Connection: upgrade\r\nUpgrade: websocket\r\n",
        b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: a, b\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\nExpect: 100-continue\r\n",
    ],
)
def test_whatever_the_upgrade_is_to(connect: Connect, upgrade: bytes) -> None:
    framing, body = by_length(RED)
    connection = connect()
    connection.sendall(head(framing, upgrade) + body)
    received = answer(connection)
    if b"Expect" in upgrade:
        assert received.startswith(b"HTTP/1.1 100")
        received = answer(connection)
    assert received.startswith(b"HTTP/1.1 200"), received
    assert (b"connection: close" in received) == (b"close" in upgrade)


def test_many_upgrades_on_one_connection(connect: Connect) -> None:
    framing, body = by_length(RED)
    connection = connect()
    connection.sendall((head(framing) + body) * 3 + HEALTH)
    for _ in range(4):
        assert answer(connection).startswith(b"HTTP/1.1 200")


def test_a_get_with_an_upgrade(connect: Connect) -> None:
    connection = connect()
    connection.sendall(HEALTH[:-2] + UPGRADE + b"\r\n" + HEALTH)
    assert answer(connection).startswith(b"HTTP/1.1 200")
    assert answer(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
@pytest.mark.parametrize("options", [[], ["-H", "Transfer-Encoding: chunked"]])
def test_curl_with_http2(port: int, tmp_path: Path, options: list[str]) -> None:
    assert CURL is not None
    image = tmp_path / "red.png"
    image.write_bytes(RED + bytes(200_000))
    url = f"http://127.0.0.1:{port}/predict"
    for body in (["-F", f"file=@{image}"], ["--data-binary", f"@{image}"]):
        kind = ["-H", "Content-Type: image/png"] if body[0] != "-F" else []
        command = [CURL, "-s", "--http2", "-m", "20", *options, *kind, *body, url]
        said = subprocess.run(command, capture_output=True, check=True, timeout=WAIT_SECONDS)
        assert b'"label":"red"' in said.stdout, said


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")
@pytest.mark.parametrize("rules", [OURS, SNIPPET], ids=["our rules", "the common snippet"])
@framings
def test_through_nginx(
    service: Service,
    log_lines: Callable[[], list[dict[str, Any]]],
    frame: Frame,
    rules: dict[str, str],
) -> None:
    with behind_nginx(service.app, rules) as port:
        framing, body = frame(RED)
        with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection:
            connection.sendall(head(framing) + body)
            received = answer(connection)
            assert received.startswith(b"HTTP/1.1 200"), received
        framing, body = frame(HIDDEN)
        with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection:
            connection.sendall(head(framing, kind=b"text/plain"))
            time.sleep(0.1)
            connection.sendall(body)
            assert answer(connection).startswith(b"HTTP/1.1 415")
    seen = [line["request_id"] for line in log_lines() if line["logger"] == ACCESS]
    assert seen == ["outer", "outer"]
