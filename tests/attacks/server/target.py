"""The server under attack: one replica, or two replicas behind nginx."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import sysconfig
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from tests.attacks.judge import Left
from tests.e2e.faults.stack import END_SECONDS, ROOT, Replica, Stack
from tests.nginx import free_port

SERVICE = (sys.executable, "-m", "service")
RESERVED_BYTES = "resnet_pending_bytes"
METRICS_SECONDS = 5.0
# Raised for a process that has ended.
ENDED = (psutil.Error, OSError)


@dataclass(frozen=True)
class Target:
    """port: where clients connect. interpreter: a link that only the replica uses; see `lone`."""

    port: int
    replicas: tuple[Replica, ...]
    interpreter: Path | None = None

    def memory_bytes(self) -> int:
        """Resident memory of the largest process tree; 0 if every replica has ended."""
        return max(map(_memory_bytes, self.replicas))

    def connections(self, sources: Collection[str]) -> int:
        """Open connections from these addresses to `port`."""
        return sum(
            one.laddr.port == self.port and one.raddr.ip in sources
            for one in psutil.net_connections("tcp4")
            # A connection that no process has open (not accepted yet, or closing) has no pid.
            if one.pid and one.laddr and one.raddr
        )

    async def left(self, sources: Collection[str]) -> Left | None:
        """What the replicas have open; None if one of them does not answer."""
        try:
            texts = [await _metrics(replica.port) for replica in self.replicas]
            descriptors = sum(map(_descriptors, self.replicas))
        except (httpx2.HTTPError, *ENDED):
            return None
        reserved = [_sum(text, RESERVED_BYTES) for text in texts]
        known = [value for value in reserved if value is not None]
        return Left(
            self.connections(sources),
            descriptors,
            sum(_sum(text, "resnet_queue_depth") or 0.0 for text in texts),
            sum(known) if known else None,
        )

    def errors(self) -> int:
        """Number of records with the level ERROR or CRITICAL in the replicas' logs."""
        return sum(record.get("level") in ("ERROR", "CRITICAL") for record in self._records())

    def kill(self) -> None:
        for replica in self.replicas:
            if replica.process is not None:
                replica.process.kill()

    def _records(self) -> Iterator[dict[str, object]]:
        for replica in self.replicas:
            for line in replica.log_lines():
                with contextlib.suppress(ValueError):
                    if isinstance(record := json.loads(line), dict):
                        yield record


@asynccontextmanager
async def lone(
    folder: Path,
    environment: Mapping[str, str],
    *,
    command: tuple[str, ...] = SERVICE,
    descriptors: int | None = None,
    own_interpreter: bool = False,
    grpc: bool = False,
) -> AsyncIterator[Target]:
    """One replica. descriptors: its limit of open files. own_interpreter: it is started through a
    link to the interpreter, `Target.interpreter`, and starts its decoding processes through it.
    grpc: it serves that too.
    """
    interpreter = None
    # Nobody is in front of it.
    environment = {"RESNET_TRUSTED_PROXIES": "", **environment}
    if own_interpreter:
        interpreter = folder / "python"
        interpreter.symlink_to(os.path.realpath(sys.executable))
        paths = [str(ROOT), *(sysconfig.get_paths()[kind] for kind in ("purelib", "platlib"))]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
        command = (str(interpreter), *command[1:])
    if descriptors is not None:
        command = ("sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *command)
    port = free_port() if grpc else None
    replica = Replica(folder, environment, grpc_port=port, command=command)
    replica.start()
    try:
        await replica.ready()
        yield Target(replica.port, (replica,), interpreter)
    finally:
        assert replica.process is not None
        if replica.process.poll() is None:
            replica.process.kill()
        await asyncio.to_thread(replica.process.wait, END_SECONDS)


@asynccontextmanager
async def behind_nginx(
    folder: Path, environment: Mapping[str, str], *, command: tuple[str, ...] = SERVICE
) -> AsyncIterator[Target]:
    """nginx and two replicas with one thread and a CPU each, which trust its X-Forwarded-For."""
    shared = {
        "RESNET_CPU_THREADS": "1",
        "RESNET_DECODE_WORKERS": "1",
        "RESNET_TRUSTED_PROXIES": "127.0.0.1",
        **environment,
    }
    async with Stack(folder, shared, command, pinned=True) as stack:
        yield Target(stack.port, tuple(stack.replicas))


def _memory_bytes(replica: Replica) -> int:
    """Of the processes that exist; decoding processes may end meanwhile."""
    total = 0
    with contextlib.suppress(*ENDED):
        process = psutil.Process(replica.pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(*ENDED):
                total += one.memory_info().rss
    return total


def _descriptors(replica: Replica) -> int:
    """Open files other than connections to its port and the sockets of decoding processes.

    Those processes start when they are needed, are children of their fork server, and have one
    socket each.
    """
    process = psutil.Process(replica.pid)
    decoding = len(process.children(recursive=True)) - len(process.children())
    connections = process.net_connections("tcp4")
    taken = sum(one.laddr.port == replica.port for one in connections if one.laddr and one.raddr)
    return process.num_fds() - taken - decoding


async def _metrics(port: int) -> str:
    async with httpx2.AsyncClient(timeout=METRICS_SECONDS) as client:
        response = await client.get(f"http://127.0.0.1:{port}/metrics")
    return str(response.text)


def _sum(text: str, name: str) -> float | None:
    """The sum of a metric's samples; None if there are none."""
    lines = [line for line in text.splitlines() if re.match(rf"{name}[ {{]", line)]
    return sum(float(line.rpartition(" ")[2]) for line in lines) if lines else None
