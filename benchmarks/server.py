"""Servers in their own processes: ours as `make serve` starts it, LitServe as in its docs."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil

from benchmarks.variants import Variant
from service.engines.openvino import MAX_STREAMS
from service.settings import PREFIX
from service.system.cpu import cpu_limit

START_TIMEOUT_SECONDS = 300.0
STOP_TIMEOUT_SECONDS = 20.0
ASK_EVERY_SECONDS = 0.01
# The command, in the environment that this runs in.
RESNET = Path(sys.executable).with_name("resnet")
SHOWN_OF_LOG = 2000


class ServerFailed(Exception):
    """The server ended or was not ready in time; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready.

    start_seconds: from the process's start to ready. start_cpu_seconds: CPU time
        of its main process until then.
    """

    port: int
    process: psutil.Process
    start_seconds: float
    start_cpu_seconds: float

    def resident_bytes(self) -> int:
        """The resident memory of its largest process, and the private memory of the others."""
        processes = [self.process, *self.process.children(recursive=True)]
        largest = max(processes, key=lambda process: process.memory_info().rss)
        others = (process.memory_full_info().uss for process in processes if process != largest)
        return int(largest.memory_info().rss + sum(others))


@contextmanager
def our_server(model: str, variant: Variant, log: Path) -> Iterator[Server]:
    """`resnet serve`. Raises ServerFailed."""
    environment = {PREFIX + "MODEL": model, PREFIX + "PRECISION": variant.precision}
    port = free_port()
    environment |= {PREFIX + "ENGINE": variant.engine, PREFIX + "HOST": "127.0.0.1"}
    environment |= {PREFIX + "PORT": str(port)}
    command = [str(RESNET), "serve"]
    with running(command, environment, port, "/health/ready", log) as server:
        if variant.engine == "openvino":
            _wait_until_divided(port)
        yield server


def _wait_until_divided(port: int) -> None:
    """Until it runs all batches that it will run at the same time. Raises ServerFailed."""
    expected = min(cpu_limit(), MAX_STREAMS)
    end = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < end:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            found = re.search(rb"^resnet_batches_at_once{.*} ([0-9]+)", response.read(), re.M)
        if found and int(found[1]) >= expected:
            return
        time.sleep(ASK_EVERY_SECONDS)
    raise ServerFailed(f"It does not run {expected} batches at the same time.")


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], port: int, health: str, log: Path
) -> Iterator[Server]:
    """A server in a process group of its own, ended with it. Raises ServerFailed.

    health: the path that is answered with 200 once it is ready.
    """
    started = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while not _answers(port, health):
            waited = time.monotonic() - started
            if process.poll() is not None or waited > START_TIMEOUT_SECONDS:
                raise ServerFailed(
                    f"{' '.join(command)} is not ready after {waited:.0f} s; "
                    f"exit status {process.returncode}. It logged: {_end_of(log)}"
                )
            time.sleep(ASK_EVERY_SECONDS)
        start_seconds = time.monotonic() - started
        main = psutil.Process(process.pid)
        used = main.cpu_times()
        yield Server(port, main, start_seconds, used.user + used.system)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_SECONDS)
        # Its own process group: workers of the peers may outlive their parent.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_TIMEOUT_SECONDS)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-SHOWN_OF_LOG:]
