"""Loads a server with wrk, or with our own client where wrk is not installed."""

from __future__ import annotations

import http.client
import json
import resource
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.images import read_requests
from benchmarks.results import Load

Client = Literal["wrk", "asyncio"]

WRK_SCRIPT = Path(__file__).with_name("wrk.lua")
# wrk counts slower responses as errors.
ANSWER_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Target:
    """A server's port and the folder of the requests for it."""

    port: int
    requests: Path


def choose_client(wanted: Client | Literal["auto"]) -> Client:
    """The given client; for "auto" wrk if it is installed, else our own."""
    if wanted != "auto":
        return wanted
    return "wrk" if shutil.which("wrk") else "asyncio"


def load(client: Client, target: Target, connections: int, seconds: float) -> Load:
    """Each connection sends one request after the other for `seconds`."""
    command = _wrk if client == "wrk" else _own
    before = _children_cpu_seconds()
    done = subprocess.run(
        command(target, connections, seconds),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=seconds + 2 * ANSWER_TIMEOUT_SECONDS,
    )
    cpu_seconds = _children_cpu_seconds() - before
    figures = json.loads(done.stdout.splitlines()[-1])
    # Our own client's figure excludes the start of Python; the start of wrk takes no time.
    return Load(**{"client_cpu_seconds": cpu_seconds, **figures})


def wait_until_idle(target: Target) -> None:
    """Waits for the abandoned requests in the queue: sends one more and waits for its response.

    Raises ValueError with the response unless its status is 200.
    """
    request = read_requests(target.requests)[0]
    with socket.create_connection(("127.0.0.1", target.port), 2 * ANSWER_TIMEOUT_SECONDS) as one:
        one.sendall(request)
        answer = http.client.HTTPResponse(one, method="POST")
        answer.begin()
        body = answer.read()
    if answer.status != 200:
        raise ValueError(f"An image was not classified. Received: {answer.status} {body[:500]!r}")


def _wrk(target: Target, connections: int, seconds: float) -> list[str]:
    count = len(list(target.requests.glob("*.http")))
    return [
        *("wrk", "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{max(1, round(seconds))}s", "--timeout", f"{ANSWER_TIMEOUT_SECONDS}s"),
        *("--script", str(WRK_SCRIPT), f"http://127.0.0.1:{target.port}/predict"),
        *("--", str(target.requests), str(count)),
    ]


def _own(target: Target, connections: int, seconds: float) -> list[str]:
    return [
        *(sys.executable, "-m", "benchmarks.client", str(target.port), str(target.requests)),
        *(str(connections), str(seconds)),
    ]


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
