"""The application under an ASGI server that is not the project's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

from service import create_app
from tests.nginx import free_port
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.images import plain

RED = plain("red")


@pytest.fixture
def process() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "tests.service.http.factory:make"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "RESNET_MAX_BODY_BYTES": "5000",
        "RESNET_QUEUE_WAIT_LIMIT_SECONDS": "0.000001",
    }
    process = subprocess.Popen([*command, "--port", str(port)], env=environment)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None
        try:
            return httpx2.get(f"{url}/health/ready").status_code == 200
        except httpx2.ConnectError:
            return False

    try:
        eventually(ready)
        yield process, url
    finally:
        process.kill()
        process.wait()


def test_the_service_exports_it() -> None:
    assert create_app.__module__ == "service.http.app"


def test_what_protects_the_service_holds_there_too(
    process: tuple[subprocess.Popen[bytes], str],
) -> None:
    running, url = process
    png = {"Content-Type": "image/png"}
    answer = httpx2.post(f"{url}/predict", content=RED, headers=png)
    assert answer.json()["predictions"][0]["label"] == "red"
    large = httpx2.post(f"{url}/predict", content=bytes(5001), headers=png)
    assert (large.status_code, large.json()["code"]) == (413, "payload_too_large")
    # A deadline that has passed is refused before the body: by the middleware, or by the route.
    late = {**png, "X-Request-Timeout-Ms": "0.0001"}
    refused = httpx2.post(f"{url}/predict", content=RED, headers=late)
    assert refused.status_code == 504
    running.send_signal(signal.SIGTERM)
    assert running.wait(WAIT_SECONDS) in (0, -signal.SIGTERM)
