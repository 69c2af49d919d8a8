"""Probes the server and measures its memory during an attack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.attacks.server.target import Target
from tests.e2e.faults.load import BROKEN, Outcome, Report

PROBE_INTERVAL_SECONDS = 0.25
# Above the limit that is checked, to record how late a response is.
PROBE_TIMEOUT_SECONDS = 10.0
MEMORY_INTERVAL_SECONDS = 0.2


@dataclass
class Watch:
    """cut_off: the server exceeded `most_bytes` and was killed."""

    live: Report = field(default_factory=Report)
    ready: Report = field(default_factory=Report)
    peak_bytes: int = 0
    cut_off: bool = False


@asynccontextmanager
async def watching(target: Target, most_bytes: int) -> AsyncIterator[Watch]:
    """Probes every replica and measures its memory while the block runs."""
    watch = Watch(peak_bytes=target.memory_bytes())
    over = asyncio.Event()
    tasks = [asyncio.ensure_future(_measure_memory(target, most_bytes, watch, over))]
    for replica in target.replicas:
        for path, report in (("/health/live", watch.live), ("/health/ready", watch.ready)):
            tasks.append(asyncio.ensure_future(_probe(replica.port, path, report, over)))
    try:
        yield watch
    finally:
        # Not cancelled: the probe in progress may be the slowest one.
        over.set()
        await asyncio.gather(*tasks)


async def _measure_memory(
    target: Target, most_bytes: int, watch: Watch, over: asyncio.Event
) -> None:
    while not over.is_set():
        watch.peak_bytes = max(watch.peak_bytes, await asyncio.to_thread(target.memory_bytes))
        if watch.peak_bytes > most_bytes:
            watch.cut_off = True
            target.kill()
            return
        await asyncio.sleep(MEMORY_INTERVAL_SECONDS)


async def _probe(port: int, path: str, report: Report, over: asyncio.Event) -> None:
    """On a new connection each time, like a kubelet."""
    while not over.is_set():
        started = time.monotonic()
        try:
            status = await asyncio.wait_for(_status(port, path), PROBE_TIMEOUT_SECONDS)
            reason = ""
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            status, reason = BROKEN, type(error).__name__
        report.outcomes.append(Outcome(started, time.monotonic() - started, status, reason))
        await asyncio.sleep(PROBE_INTERVAL_SECONDS)


async def _status(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        return int((await reader.readuntil(b"\r\n"))[9:12])
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
