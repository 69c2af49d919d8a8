"""More connections than the process has descriptors, in a process of their own."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.http.connection import descriptors
from service.http.connection.descriptors import (
    MAX_CONNECTIONS,
    RESERVED,
    Descriptors,
    default_max_connections,
    warn_of_limit,
)
from tests.nginx import free_port
from tests.service.conftest import Loop
from tests.service.fakes import WAIT_SECONDS, eventually

LIMIT = 120


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[str]
    port: int
    log: Path

    def status(self, path: str = "/health/live") -> int | None:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"http://127.0.0.1:{self.port}{path}").status_code
        return None

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def said(self, words: str) -> list[str]:
        return [line["message"] for line in self.lines() if words in line["message"]]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), WAIT_SECONDS)


@contextlib.contextmanager
def running_server(
    folder: Path, loop: Loop, *options: str, **settings: object
) -> Iterator[Running]:
    port = free_port()
    module = "tests.service.http.connection.limited_server"
    (folder / "go on").touch()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "RESNET_MAX_CONNECTIONS": "1000",
        "RESNET_SELF_TEST_INTERVAL_SECONDS": "0",
        "RESNET_DECODE_WORKERS": "1",
        "LOAD_WHEN_THERE_IS": str(folder / "go on"),
        **{f"RESNET_{name.upper()}": str(value) for name, value in settings.items()},
    }
    log = folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(port), loop, str(LIMIT), *options],
            env=environment,
            stderr=stderr,
            text=True,
        )
    running = Running(process, port, log)
    try:
        eventually(lambda: running.status("/health/ready") == 200)
        yield running
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0
        assert not [line for line in running.lines() if "exc_info" in line]
    finally:
        process.kill()
        process.wait()


def test_the_last_descriptors_are_kept(tmp_path: Path, loop: Loop) -> None:
    """Neither a flood of errors nor an end to probes, and all is well afterwards."""
    with running_server(tmp_path, loop) as running:
        assert running.said("do not fit into the limit of 120 open files")
        kept = httpx2.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=WAIT_SECONDS)
        with kept, contextlib.ExitStack() as stack:
            assert kept.get("/models").status_code == 200
            for _ in range(300):
                stack.enter_context(running.connect())
            eventually(lambda: len(running.said("Descriptors run out")) == 1)
            for _ in range(10):
                assert running.status() == 200
            assert running.status("/models") == 503
            # Who was there before is served.
            assert kept.get("/models").status_code == 200
            metrics = kept.get("/metrics").text
            assert 'resnet_connections_refused_total{reason="descriptors"}' in metrics
        eventually(lambda: running.status("/models") == 200)
        eventually(lambda: len(running.said("There are descriptors again")) == 1)
    assert len(running.said("Descriptors run out")) == 1
    assert len(running.said("beyond a limit")) <= 2


def test_running_out_of_descriptors_is_a_state_with_an_end(tmp_path: Path, loop: Loop) -> None:
    """Something else took them: not even probes are accepted, and one line says so."""
    with running_server(tmp_path, loop, "late") as running:
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(running.connect())
            eventually(lambda: len(running.said("Descriptors run out")) == 1)
            assert running.status() is None
            time.sleep(1)
        eventually(lambda: running.status() == 200)
        eventually(lambda: len(running.said("There are descriptors again")) == 1)
    assert len(running.said("Descriptors run out")) == 1
    assert len(running.lines()) < 50


LISTENER = """
import os, resource, socket, sys
from service.http.connection.descriptors import Listener

listener = Listener.of(socket.create_server(("127.0.0.1", 0)))
listener.setblocking(False)
clients = [socket.create_connection(listener.getsockname(), 30) for _ in range(5)]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
files = []
try:
    while True:
        files.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for client in clients[:3]:
    try:
        listener.accept()
        sys.exit("accepted without a descriptor")
    except BlockingIOError:
        assert client.recv(1) == b""
# Another thread took the spare one.
listener._release_spare()
files.append(os.open(os.devnull, os.O_RDONLY))
for _ in range(3):
    try:
        listener.accept()
        sys.exit("accepted without a descriptor")
    except BlockingIOError:
        pass
os.close(files.pop())
os.close(files.pop())
for client in clients[3:]:
    server, _ = listener.accept()
    server.sendall(b"a")
    assert client.recv(1) == b"a"
    server.close()
listener.close()
print("done")
"""


def test_a_listener_closes_what_it_has_no_descriptor_for() -> None:
    """In a process of its own: the limit is the process's."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", LISTENER],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert done.stdout == "done\n", done.stderr


@pytest.mark.parametrize(
    ("limit", "connections"),
    [
        (None, MAX_CONNECTIONS),
        (1 << 20, MAX_CONNECTIONS),
        (MAX_CONNECTIONS + RESERVED, MAX_CONNECTIONS),
        (1024, 1024 - RESERVED),
        (256, 128),
        (64, 32),
        (1, 1),
    ],
)
def test_as_many_connections_as_the_limit_on_open_files_allows(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, connections: int
) -> None:
    monkeypatch.setattr(descriptors, "descriptor_limit", lambda: limit)
    assert default_max_connections() == connections


def test_the_limit_is_the_systems() -> None:
    assert descriptors.descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.mark.parametrize(("connections", "warns"), [(896, False), (897, True)])
def test_more_than_fit_are_reported_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    connections: int,
    warns: bool,
) -> None:
    monkeypatch.setattr(descriptors, "descriptor_limit", lambda: 1024)
    warn_of_limit(connections)
    assert ("RESNET_MAX_CONNECTIONS" in caplog.text) == warns


@pytest.mark.parametrize(
    ("limit", "margin", "lowest"), [(1000, 64, 936), (64, 64, 48), (None, 64, None)]
)
def test_a_descriptors_number_tells_how_many_are_left(
    limit: int | None, margin: int, lowest: int | None
) -> None:
    one = Descriptors(limit, margin)
    for descriptor in range(1100):
        assert one.low(descriptor) == (lowest is not None and descriptor >= lowest)
