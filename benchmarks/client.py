"""A closed-loop HTTP client, used where wrk is not installed: one thread, requests in memory.

python -m benchmarks.client PORT FOLDER CONNECTIONS SECONDS

Each connection posts one request of the folder after the other. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools

from benchmarks.images import read_requests

GIVE_UP_SECONDS = 60.0


@dataclass(slots=True)
class Tally:
    """Responses within the measured time. `next_request` gives each connection its next request."""

    next_request: Callable[[], bytes]
    end: float
    latencies: list[float] = field(default_factory=list)
    errors: int = 0

    def answered(self, started: float, status: int) -> None:
        now = time.perf_counter()
        if now > self.end:
            return
        if status == 200:
            self.latencies.append(now - started)
        else:
            self.errors += 1


class Connection(asyncio.Protocol):
    """Sends one request after the other until the time is over."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self._started = 0.0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._tally.answered(self._started, self._parser.get_status_code())
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.over.done():
            self._tally.errors += 1
            self.over.set_result(None)

    def _send(self) -> None:
        self._started = time.perf_counter()
        if self._started < self._tally.end:
            self._transport.write(self._tally.next_request())
        elif not self.over.done():
            self.over.set_result(None)


async def load(
    port: int, requests: Sequence[bytes], connections: int, seconds: float
) -> dict[str, float]:
    """The figures that wrk.lua gives, and the CPU time of this client."""
    cpu_seconds, started = time.process_time(), time.perf_counter()
    tally = Tally(itertools.cycle(requests).__next__, started + seconds)
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Connection(tally), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.wait([protocol.over for _, protocol in opened], timeout=seconds + GIVE_UP_SECONDS)
    for transport, _ in opened:
        transport.abort()
    return {
        "seconds": seconds,
        "requests": len(tally.latencies),
        "errors": tally.errors,
        "p50_ms": 1e3 * percentile(tally.latencies, 50),
        "p95_ms": 1e3 * percentile(tally.latencies, 95),
        "p99_ms": 1e3 * percentile(tally.latencies, 99),
        "client_cpu_seconds": time.process_time() - cpu_seconds,
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` per cent do not exceed; 0 without values."""
    if not values:
        return 0.0
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(0, int(rank) - 1)]


if __name__ == "__main__":
    port, folder, connections, seconds = sys.argv[1:]
    requests = read_requests(Path(folder))
    figures = asyncio.run(load(int(port), requests, int(connections), float(seconds)))
    sys.stdout.write(json.dumps(figures) + "\n")
