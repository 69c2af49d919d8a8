"""Two replicas behind the project's own nginx.conf, on this machine's loopback."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil

from tests.nginx import Nginx, free_port, write_grpc_rules

ROOT = Path(__file__).parents[3]
READY_SECONDS = 180.0
END_SECONDS = 60.0
# The service with a way in for faults.
SABOTAGED = (sys.executable, "-m", "tests.e2e.faults.replica")


@dataclass
class Replica:
    """One process of the service; `start` starts it again at the same port."""

    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    grpc_port: int | None = None
    process: subprocess.Popen[bytes] | None = None
    command: tuple[str, ...] = SABOTAGED

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
            # nginx: what it says of refusals is believed, and it has no share of the connections.
            "RESNET_TRUSTED_PROXIES": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
            **self.environment,
        }
        if self.grpc_port is not None:
            environment["RESNET_GRPC_PORT"] = str(self.grpc_port)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=environment, stderr=log)

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

    async def hang(self) -> tuple[float, int]:
        """A worker thread hangs. Seconds until not ready, and the exit status; started again."""
        os.kill(self.pid, signal.SIGUSR2)
        noticed = await self.ready(wanted=False)
        status = await self.exit_status()
        self.start()
        await self.ready()
        return noticed, status

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
    """nginx and two replicas. environment: of the replicas. grpc: whether they serve that too.

    pinned: each replica has a CPU of its own, as docker-compose.yml limits it to one.
    """

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        command: tuple[str, ...] = SABOTAGED,
        *,
        grpc: bool = False,
        pinned: bool = False,
    ) -> None:
        self.port = free_port()
        self.grpc_port = free_port() if grpc else None
        self._folder, self._pinned = folder, pinned
        self.replicas = [
            Replica(folder, environment, grpc_port=free_port() if grpc else None, command=command)
            for _ in range(2)
        ]
        self._nginx: Nginx | None = None

    @property
    def nginx(self) -> Nginx:
        assert self._nginx is not None
        return self._nginx

    async def __aenter__(self) -> Stack:
        for number, replica in enumerate(self.replicas):
            replica.start()
            if self._pinned:
                cpus = psutil.Process().cpu_affinity()
                psutil.Process(replica.pid).cpu_affinity([cpus[number % len(cpus)]])
        ports = [replica.port for replica in self.replicas]
        if self.grpc_port is not None:
            behind = [one.grpc_port for one in self.replicas if one.grpc_port is not None]
            write_grpc_rules(self._folder, self.grpc_port, behind)
        self._nginx = Nginx(self._folder, self.port, ports)
        try:
            await asyncio.gather(*(replica.ready() for replica in self.replicas))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._nginx is not None:
            await asyncio.to_thread(self._nginx.stop)
        for process in (replica.process for replica in self.replicas):
            if process is not None and process.poll() is None:
                process.kill()
                await asyncio.to_thread(process.wait, END_SECONDS)
