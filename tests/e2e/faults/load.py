"""Clients: they send images, and write down what became of each request."""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType

# Of a connection that broke before an answer; no status of HTTP's.
BROKEN = 0
ANSWER_SECONDS = 45.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """status: of the answer, or BROKEN. reason: the problem's code, or what broke."""

    started: float
    seconds: float
    status: int
    reason: str = ""


@dataclass
class Report:
    """What the clients saw. seconds: for how long they were at it."""

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def statuses(self) -> Counter[int]:
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(
            f"{outcome.status} {outcome.reason}"
            for outcome in self.outcomes
            if outcome.status != 200
        )

    @property
    def goodput(self) -> float:
        """Answers a second."""
        return self.statuses[200] / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """Seconds within which that share of the answers came."""
        taken = sorted(outcome.seconds for outcome in self.outcomes if outcome.status == 200)
        return taken[min(len(taken) - 1, int(share * len(taken)))] if taken else float("nan")


class Load(ABC):
    """Requests at a rate, or one after another. `exchange` makes one: its status and reason."""

    _under_way = 0

    @abstractmethod
    async def exchange(self) -> tuple[int, str]: ...

    @abstractmethod
    def close(self) -> None: ...

    async def at_rate(self, per_second: float, seconds: float, report: Report) -> None:
        """So many a second, whatever becomes of those before."""
        begun = time.monotonic()
        tasks = set()
        number = 0
        while (now := time.monotonic()) - begun < seconds:
            while number <= (now - begun) * per_second:
                number += 1
                task = asyncio.ensure_future(self._one(report))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(min(0.01, 1 / per_second))
        report.seconds += time.monotonic() - begun
        await asyncio.gather(*tasks)
        self.close()

    async def in_turn(self, clients: int, seconds: float, report: Report) -> None:
        """So many clients, each with one request after another."""
        begun = time.monotonic()

        async def client() -> None:
            while time.monotonic() - begun < seconds:
                await self._one(report)

        await asyncio.gather(*(client() for _ in range(clients)))
        report.seconds += time.monotonic() - begun
        self.close()

    @asynccontextmanager
    async def meanwhile(self, per_second: float) -> AsyncIterator[Report]:
        """A steady load for as long as the block takes."""
        report = Report()
        loading = asyncio.ensure_future(self.at_rate(per_second, float("inf"), report))
        begun = time.monotonic()
        try:
            yield report
        finally:
            report.seconds = time.monotonic() - begun
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
            # Those under way have their answers, or they would be counted as lost by us.
            while self._under_way:
                await asyncio.sleep(0.05)
            self.close()

    async def _one(self, report: Report) -> None:
        started = time.monotonic()
        self._under_way += 1
        try:
            status, reason = await asyncio.wait_for(self.exchange(), ANSWER_SECONDS)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            status, reason = BROKEN, type(error).__name__
        finally:
            self._under_way -= 1
        report.outcomes.append(Outcome(started, time.monotonic() - started, status, reason))


class Clients(Load):
    """Sends one image again and again to one address, over connections that are kept.

    A plain client on sockets: the load shares the CPUs with what it loads. source: the address
    that it connects from; by default the system's choice. headers: further ones of each request.
    """

    def __init__(
        self,
        port: int,
        image: bytes,
        *,
        timeout_ms: int | None = None,
        source: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._port = port
        self._source = source
        deadline = {} if timeout_ms is None else {"X-Request-Timeout-Ms": str(timeout_ms)}
        further = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **deadline}.items())
        head = (
            "POST /predict?top_k=1 HTTP/1.1\r\nHost: test\r\nContent-Type: image/jpeg\r\n"
            f"{further}Content-Length: {len(image)}\r\n\r\n"
        )
        self.request = head.encode() + image
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def exchange(self) -> tuple[int, str]:
        if self._idle:
            connection = self._idle.pop()
            try:
                return await self._on(*connection)
            except (OSError, EOFError):
                # Closed while it was idle, as every client knows: once more on a new one.
                connection[1].close()
        source = (self._source, 0) if self._source else None
        connecting = asyncio.open_connection("127.0.0.1", self._port, local_addr=source)
        return await self._on(*await connecting)

    async def _on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[int, str]:
        try:
            writer.write(self.request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        if "connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        status = int(head[9:12])
        reason = ""
        if status != 200:
            with suppress(ValueError):
                reason = str(json.loads(body).get("code", ""))
        return status, reason
