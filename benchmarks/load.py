"""Loads a server with wrk, or with our own client where there is none."""

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
# As long as anything may take to be answered; wrk counts what is slower as an error.
ANSWER_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Target:
    """A server's port and the folder of the requests that it is sent."""

    port: int
    requests: Path


def choose_client(wanted: Client | Literal["auto"]) -> Client:
    """wrk where it is installed."""
    if wanted != "auto":
        return wanted
    return "wrk" if shutil.which("wrk") else "asyncio"


def load(client: Client, target: Target, connections: int, seconds: float) -> Load:
    """Each connection sends its next request when the last is answered, for so long."""
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
    # Our own leaves out what it costs to start Python; wrk's start costs nothing.
    return Load(**{"client_cpu_seconds": cpu_seconds, **figures})


def wait_until_idle(target: Target) -> None:
    """Until what was abandoned in the queue is done: an answer to a request behind it all.

    Raises ValueError with the answer unless it is a good one.
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
