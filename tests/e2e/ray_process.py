"""Ray in processes of its own: a test starts a command, and ends whatever that started.

Where Ray's services do not start in time, Ray kills the process that asked for them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

START_SECONDS, STOP_SECONDS = 300.0, 120.0
# Ray's processes, whatever their parents, have it in their environment.
MARK = "RESNET_TEST_MARK"
# Ray kills a proxy that is not ready after 5 s, and starts it again.
PATIENCE = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "120",
}


@dataclass(frozen=True, slots=True)
class RayProcess:
    """A command of this Python. folder: of Ray's session. mark: of every process it started."""

    process: subprocess.Popen[bytes]
    folder: Path
    mark: str

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def lines(self) -> list[str]:
        """Of what it wrote, Ray's own messages included."""
        return self.log().splitlines()

    def write(self, line: str) -> None:
        """To its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def pids(self, beginning: bytes = b"") -> list[int]:
        """Of the processes that run, with a command line that begins so."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marked = wanted in (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            # One that has ended and that nobody has waited for has no command line.
            if marked and command and command.startswith(beginning):
                found.append(int(folder.name))
        return sorted(found)

    def replicas(self) -> list[int]:
        """Ray names their processes so."""
        return self.pids(b"ray::ServeReplica:resnet:resnet")

    def metrics(self) -> str:
        """What Prometheus gets from every node that Ray's file names."""
        (file,) = self.folder.glob("ray/prom_metrics_service_discovery.json")
        targets = [one for group in json.loads(file.read_text()) for one in group["targets"]]
        return "".join(httpx2.get(f"http://{one}/metrics", timeout=60).text for one in targets)

    def until(self, condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """A connection that fails is a condition that is not met yet."""
        deadline = time.monotonic() + seconds
        while not _met(condition):
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, f"waited too long: {self.log()}"
            time.sleep(0.2)

    def stop(self) -> int:
        """By SIGTERM. Its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def until_nothing_is_left(self) -> None:
        """Ray's processes end a moment after the command that started them."""
        deadline = time.monotonic() + STOP_SECONDS
        while left := self.pids():
            assert time.monotonic() < deadline, f"these are left: {left}"
            time.sleep(0.2)


@contextmanager
def ray_process(arguments: Sequence[str], environment: dict[str, str]) -> Iterator[RayProcess]:
    """`python ARGUMENTS`, with a session folder of Ray's own. Nothing of it is left at the end."""
    mark = uuid.uuid4().hex
    # Short: Ray makes sockets in it.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        own = {
            "RAY_TMPDIR": folder,
            MARK: mark,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**inherited, **PATIENCE, **own, **environment},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started = RayProcess(process, Path(folder), mark)
        try:
            yield started
        finally:
            _kill(started)
            assert process.stdin is not None
            process.stdin.close()


def _met(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except httpx2.TransportError:
        return False


def _kill(started: RayProcess) -> None:
    """Again and again, since the raylet starts workers until it is killed itself."""
    deadline = time.monotonic() + STOP_SECONDS
    while pids := started.pids():
        assert time.monotonic() < deadline, f"these can't be killed: {pids}"
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        started.process.poll()
        time.sleep(0.05)
    started.process.wait(STOP_SECONDS)
