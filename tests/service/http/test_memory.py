"""The memory of a server's process under uploads that never end, against docs/capacity.md."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.nginx import free_port
from tests.service.fakes import eventually
from tests.service.images import plain

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MEGABYTE = 2**20
BUDGET = 64 * MEGABYTE
BODY = 8 * MEGABYTE
UPLOADS = 60
# What docs/capacity.md allows for each.
CONNECTION = 400_000
# Of the interpreter's own, as code is used for the first time.
SLACK = 12 * MEGABYTE
TO_FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
KINDS = {
    "raw": (b"Content-Type: image/png\r\nContent-Length: %d\r\n\r\n" % BODY, b"%b"),
    "chunked": (b"Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n"),
    "form": (
        b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%b"
        % (BODY, TO_FORM),
        b"%b",
    ),
}
PIECE = bytes(MEGABYTE // 2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[psutil.Process, int]]:
    """A process that serves a fake model, and its port."""
    port = free_port()
    go_on = tmp_path / "go on"
    go_on.touch()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "uvicorn", "--factory", "tests.service.http.factory:make"),
            *("--port", str(port), "--log-level", "critical"),
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "RESNET_MAX_PENDING_BYTES": str(BUDGET),
            "RESNET_MAX_BODY_BYTES": str(BODY),
            "RESNET_DECODE_WORKERS": "1",
            "RESNET_SELF_TEST_INTERVAL_SECONDS": "0",
            "LOAD_WHEN_THERE_IS": str(go_on),
        },
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with contextlib.suppress(httpx2.ConnectError):
            return post(port, "127.0.0.1") == 200
        return False

    try:
        eventually(answers)
        yield psutil.Process(process.pid), port
    finally:
        process.kill()
        process.wait()


def post(port: int, address: str) -> int:
    """The status that one image gets, sent from that address."""
    transport = httpx2.HTTPTransport(local_address=address)
    with httpx2.Client(transport=transport, timeout=30) as client:
        headers = {"Content-Type": "image/png"}
        url = f"http://127.0.0.1:{port}/predict"
        return int(client.post(url, content=plain("red"), headers=headers).status_code)


@pytest.mark.parametrize("kind", KINDS)
def test_uploads_take_what_is_promised_and_give_it_back(
    server: tuple[psutil.Process, int], kind: str
) -> None:
    process, port = server
    header, form = KINDS[kind]
    piece = form % ((len(PIECE), PIECE) if form.count(b"%") > 1 else PIECE)
    before = process.memory_info().rss
    most = 0
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(UPLOADS):
            connection = socket.create_connection(("127.0.0.1", port), 30, ("127.0.0.2", 0))
            connections.append(stack.enter_context(connection))
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\n" + header)
        for _ in range(BODY // len(PIECE) - 1):
            for connection in connections:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(piece)
            most = max(most, process.memory_info().rss)
        assert post(port, "127.0.0.1") == 200
    assert most - before < BUDGET + UPLOADS * CONNECTION + SLACK
    # Else the uploads did not reach the limit, and this says nothing.
    assert most - before > BUDGET / 2
    eventually(lambda: process.memory_info().rss - before < SLACK + UPLOADS * CONNECTION)
