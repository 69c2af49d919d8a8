"""Two replicas behind the project's own nginx.conf, on this machine's loopback."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil

ROOT = Path(__file__).parents[3]
NGINX_CONF = ROOT / "deploy" / "nginx.conf"
# Debian has it where only root looks.
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
READY_SECONDS = 180.0
END_SECONDS = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Replica:
    """One process of the service; `start` starts it again at the same port."""

    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"replica-{self.port}.log"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        environment = {
            **os.environ,
            "RESNET_PORT": str(self.port),
            "RESNET_LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
            **self.environment,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.faults.replica"], env=environment, stderr=log
            )

    async def ready(self, wanted: bool = True, within: float = READY_SECONDS) -> float:
        """Waits until it is, or is not. The seconds that took."""
        begun = time.monotonic()
        async with httpx2.AsyncClient(timeout=5) as client:
            while time.monotonic() - begun < within:
                try:
                    url = f"http://127.0.0.1:{self.port}/health/ready"
                    is_ready = (await client.get(url)).status_code == 200
                except httpx2.HTTPError:
                    is_ready = False
                if is_ready is wanted:
                    return time.monotonic() - begun
                if wanted and self.process is not None and self.process.poll() is not None:
                    break
                await asyncio.sleep(0.1)
        raise TimeoutError(f"waited for ready={wanted}: {self.last_lines()}")

    async def end(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        assert self.process is not None
        self.process.send_signal(sent)
        return await self.exit_status()

    async def exit_status(self, within: float = END_SECONDS) -> int:
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, within)

    def resident_bytes(self) -> int:
        """With those that decode for it."""
        process = psutil.Process(self.pid)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of its samples that have these labels."""
        async with httpx2.AsyncClient(timeout=5) as client:
            text = (await client.get(f"http://127.0.0.1:{self.port}/metrics")).text
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if re.match(rf"{name}[ {{]", line) and all(one in line for one in wanted)
        )

    def last_lines(self, count: int = 5) -> str:
        return "\n".join(self.log_lines()[-count:])

    def log_lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()


class Stack:
    """nginx and two replicas. `environment`: of the replicas."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self._folder = folder
        self.replicas = [Replica(folder, environment) for _ in range(2)]
        self._nginx: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Stack:
        assert NGINX is not None
        for replica in self.replicas:
            replica.start()
        self._folder.chmod(0o755)
        path = self._folder / "nginx.conf"
        path.write_text(self._configuration())
        with (self._folder / "nginx.log").open("wb") as log:
            self._nginx = subprocess.Popen(
                [NGINX, "-c", str(path), "-p", str(self._folder), "-g", "daemon off;"],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            await asyncio.gather(*(replica.ready() for replica in self.replicas))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        ending = [self._nginx, *(replica.process for replica in self.replicas)]
        for process in ending:
            if process is not None and process.poll() is None:
                process.kill()
                await asyncio.to_thread(process.wait, END_SECONDS)

    def _configuration(self) -> str:
        """The project's, with this machine's addresses and a folder of its own."""
        text = NGINX_CONF.read_text()
        (server,) = re.findall(r"server resnet:8000 ([^;]*);", text)
        servers = "\n".join(
            f"server 127.0.0.1:{replica.port} {server};" for replica in self.replicas
        )
        for old, new in (
            (f"server resnet:8000 {server};", servers),
            ("listen 8000;", f"listen 127.0.0.1:{self.port};"),
            ("/tmp/", f"{self._folder}/"),
            ("/dev/stdout", str(self._folder / "access.log")),
            ("/dev/stderr", str(self._folder / "error.log")),
        ):
            assert old in text, old
            text = text.replace(old, new)
        return text
