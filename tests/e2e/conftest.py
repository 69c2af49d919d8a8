"""A real server in its own process, with a real socket and the published weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import IO

import httpx2
import pytest

START_TIMEOUT_SECONDS = 300.0
STOP_TIMEOUT_SECONDS = 60.0
COMMAND_TIMEOUT_SECONDS = 500.0


@dataclass
class Server:
    """A `python -m service`. records: of its log, as far as it was read."""

    process: subprocess.Popen[str]
    lines: Queue[str | None]
    records: list[dict[str, object]] = field(default_factory=list)
    url: str = ""

    def wait_for(self, beginning: str) -> str:
        """The rest of the first message with this beginning; empty if the process ends before."""
        while True:
            try:
                line = self.lines.get(timeout=START_TIMEOUT_SECONDS)
            except Empty:
                pytest.fail(f"waited {START_TIMEOUT_SECONDS:.0f} s: {self.messages()}")
            if line is None:
                return ""
            record = json.loads(line) if line.startswith("{") else {"message": line.rstrip()}
            self.records.append(record)
            message = str(record["message"])
            if message.startswith(beginning):
                return message.removeprefix(beginning)

    def said(self, beginning: str) -> str:
        """As `wait_for`, where it may have been read before."""
        found = (str(record["message"]) for record in self.records)
        before = [one.removeprefix(beginning) for one in found if one.startswith(beginning)]
        return before[0] if before else self.wait_for(beginning)

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        self.process.send_signal(sent)
        return self.process.wait(STOP_TIMEOUT_SECONDS)

    def messages(self) -> str:
        return "\n".join(str(record["message"]) for record in self.records)


def read_lines(stream: IO[str], lines: Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


@contextmanager
def started(environment: dict[str, str]) -> Iterator[Server]:
    """A server's process, killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service"],
        env={**os.environ, "RESNET_PORT": "0", "RESNET_LOG_FORMAT": "json", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines: Queue[str | None] = Queue()
    reader = threading.Thread(target=read_lines, args=(process.stderr, lines), daemon=True)
    reader.start()
    try:
        yield Server(process, lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(STOP_TIMEOUT_SECONDS)
        reader.join(STOP_TIMEOUT_SECONDS)
        process.stderr.close()


@contextmanager
def running(environment: dict[str, str]) -> Iterator[Server]:
    """A ready server with its `url`; the url is empty where the process ended instead."""
    with started(environment) as server:
        server.url = server.wait_for("Ready on ")
        yield server


def start_real(environment: dict[str, str]) -> Iterator[Server]:
    # The tests check results, also on a slow machine.
    timeouts = {"RESNET_QUEUE_WAIT_LIMIT_SECONDS": "60", "RESNET_REQUEST_TIMEOUT_SECONDS": "60"}
    with running({**timeouts, **environment}) as server:
        if not server.url:
            # In CI a test without weights fails; elsewhere it is skipped.
            unreachable = "No source of" in server.messages()
            give_up = pytest.skip if unreachable and not os.environ.get("CI") else pytest.fail
            give_up(server.messages())
        yield server


@pytest.fixture(scope="session", autouse=True)
def _downloads(home: Path) -> None:
    """Servers find what the user has downloaded."""


@pytest.fixture(scope="session")
def float32_server() -> Iterator[Server]:
    # Batches of up to 8, also where this machine gains nothing from them.
    yield from start_real({"RESNET_PRECISION": "float32", "RESNET_MAX_BATCH_SIZE": "8"})


@pytest.fixture(scope="module")
def bfloat16_server() -> Iterator[Server]:
    # Without hardware support each further size takes long to warm up.
    yield from start_real({"RESNET_PRECISION": "bfloat16", "RESNET_MAX_BATCH_SIZE": "4"})


@pytest.fixture(scope="session")
def int8_server(
    float32_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Serves without TensorFlow, from an artifact that was built with it."""
    # It uses the same downloaded file.
    assert float32_server.url
    done = resnet("quantize", "resnet50")
    assert done.returncode == 0, done.stderr
    yield from start_real(
        {
            "RESNET_PRECISION": "int8",
            "PYTHONPATH": str(without_tensorflow(tmp_path_factory.mktemp("modules"))),
        }
    )


def without_tensorflow(folder: Path) -> Path:
    """A folder that hides TensorFlow, Keras and h5py when it is first on the path."""
    for name in ("h5py", "keras", "tensorflow"):
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError('no {name} here')\n")
    return folder


def resnet(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the `resnet` command in a new process."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT_SECONDS,
    )


@pytest.fixture
def post(float32_server: Server) -> Iterator[Callable[..., httpx2.Response]]:
    """Posts images to the float32 server: `post(path, ..., top_k=5)`."""
    with httpx2.Client(base_url=float32_server.url, timeout=60) as client:

        def post(*photos: Path, **parameters: object) -> httpx2.Response:
            files = [("file", (photo.name, photo.read_bytes())) for photo in photos]
            query = {name: str(value) for name, value in parameters.items()}
            response: httpx2.Response = client.post("/predict", files=files, params=query)
            return response

        yield post
