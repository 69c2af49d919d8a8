"""The application under an ASGI server that is not the project's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from service import create_app
from tests.nginx import free_port
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.images import plain

RED = plain("red")


@dataclass(frozen=True)
class Running:
    """uvicorn's own command line. go_on: the model is loading until this file exists."""

    process: subprocess.Popen[str]
    url: str
    go_on: Path

    def status(self, path: str) -> int | None:
        """None where nothing listens yet."""
        assert self.process.poll() is None
        try:
            return httpx2.get(self.url + path).status_code
        except httpx2.ConnectError:
            return None


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "tests.service.http.factory:make"]
    go_on = tmp_path / "go on"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "RESNET_MAX_BODY_BYTES": "5000",
        "RESNET_DECODE_THREADS": "1",
        "LOAD_WHEN_THERE_IS": str(go_on),
    }
    process = subprocess.Popen(
        [*command, "--port", str(port)], env=environment, stderr=subprocess.PIPE, text=True
    )
    running = Running(process, f"http://127.0.0.1:{port}", go_on)
    try:
        eventually(lambda: running.status("/health/live") == 200)
        yield running
    finally:
        process.kill()
        process.wait()


def test_the_service_exports_it() -> None:
    assert create_app.__module__ == "service.http.app"


def test_what_protects_the_service_holds_there_too(running: Running) -> None:
    png = {"Content-Type": "image/png"}
    # By the middleware, which alone counts refusals in the log.
    loading = httpx2.post(f"{running.url}/predict", content=RED, headers=png)
    assert (loading.status_code, loading.json()["code"]) == (503, "model_not_ready")
    running.go_on.touch()
    eventually(lambda: running.status("/health/ready") == 200)
    answer = httpx2.post(f"{running.url}/predict", content=RED, headers=png)
    assert answer.json()["predictions"][0]["label"] == "red"
    large = httpx2.post(f"{running.url}/predict", content=bytes(5001), headers=png)
    assert (large.status_code, large.json()["code"]) == (413, "payload_too_large")
    late = {**png, "X-Request-Timeout-Ms": "0.0001"}
    refused = httpx2.post(f"{running.url}/predict", content=RED, headers=late)
    assert refused.status_code == 504
    running.process.send_signal(signal.SIGTERM)
    _, log = running.process.communicate(timeout=WAIT_SECONDS)
    assert running.process.returncode in (0, -signal.SIGTERM)
    assert "1 refused; the last one: The model is still loading." in log
    assert "RESNET_DECODE_THREADS is deprecated: use RESNET_DECODE_WORKERS" in log
