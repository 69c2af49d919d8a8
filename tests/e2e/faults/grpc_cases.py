"""The faults again, for clients of gRPC: through nginx, and past it."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.e2e.faults.cases import Setting
from tests.e2e.faults.grpc_clients import (
    BALANCING,
    INFER,
    PLAIN,
    RETRYING,
    Asked,
    GrpcClients,
    Kind,
    asked_of,
)
from tests.e2e.faults.load import Report

KILLS = 3


@dataclass(frozen=True)
class Way:
    """How clients reach the replicas. lossless: whether they may see nothing but OK."""

    name: str
    kinds: tuple[Kind, ...]
    lossless: bool


NGINX = Way("nginx", (PLAIN, RETRYING), lossless=True)
# It is away for a while.
DIRECT = Way("one replica", (PLAIN, RETRYING), lossless=False)
BOTH = Way("both replicas", (BALANCING,), lossless=False)
WAYS = (NGINX, DIRECT, BOTH)


@dataclass(frozen=True)
class GrpcRow:
    """elsewhere: calls that nginx repeated at another replica; None past nginx."""

    fault: str
    way: Way
    kind: Kind
    report: Report
    wrong: int
    elsewhere: int | None
    held: bool
    note: str = ""


class Meanwhile:
    """Clients of each kind under a steady load, and what became of it."""

    def __init__(self, setting: Setting, way: Way, photos: Sequence[Asked]) -> None:
        self._setting = setting
        self._way = way
        self._clients = [GrpcClients(self._ports(), kind, photos) for kind in way.kinds]
        self._reports: list[Report] = []
        self._before = self._repeated()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        steady = await self._setting.steady() / len(self._clients)
        async with AsyncExitStack() as stack:
            self._reports = [
                await stack.enter_async_context(one.meanwhile(steady)) for one in self._clients
            ]
            yield

    def rows(
        self, fault: str, note: str = "", held: bool = True, *, unavailable: bool = False
    ) -> list[GrpcRow]:
        """unavailable: whether clients without retries may be told so by every way."""
        elsewhere = self._repeated() - self._before if self._way is NGINX else None
        return [
            GrpcRow(
                fault,
                self._way,
                kind,
                report,
                clients.wrong,
                elsewhere,
                held and not clients.wrong and self._may(report, unavailable and kind is PLAIN),
                note,
            )
            for kind, clients, report in zip(
                self._way.kinds, self._clients, self._reports, strict=True
            )
        ]

    def _may(self, report: Report, unavailable: bool) -> bool:
        """Whether the clients saw only what they may."""
        seen = set(report.statuses)
        return 200 in seen and seen <= (
            {200} if self._way.lossless and not unavailable else {200, 503}
        )

    def _ports(self) -> list[int]:
        stack = self._setting.stack
        if self._way is NGINX:
            assert stack.grpc_port is not None
            return [stack.grpc_port]
        behind = [one.grpc_port for one in stack.replicas if one.grpc_port is not None]
        return behind if self._way is BOTH else behind[:1]

    def _repeated(self) -> int:
        return sum(len(one) > 1 for one in self._setting.stack.nginx.upstreams(INFER))


GrpcCase = Callable[[Setting, Way, Sequence[Asked]], Awaitable[list[GrpcRow]]]


async def grpc_nothing(setting: Setting, way: Way, photos: Sequence[Asked]) -> list[GrpcRow]:
    meanwhile = Meanwhile(setting, way, photos)
    async with meanwhile.running():
        await setting.rest(15)
    return meanwhile.rows("none")


async def grpc_kills(setting: Setting, way: Way, photos: Sequence[Asked]) -> list[GrpcRow]:
    victim = setting.stack.replicas[0]
    meanwhile = Meanwhile(setting, way, photos)
    async with meanwhile.running():
        for _ in range(KILLS):
            await setting.rest(3)
            await victim.end(signal.SIGKILL)
            await setting.rest(2)
            victim.start()
            await victim.ready()
        await setting.rest(4)
    return meanwhile.rows(f"a replica killed with -9, {KILLS} times")


async def grpc_restart(setting: Setting, way: Way, photos: Sequence[Asked]) -> list[GrpcRow]:
    statuses = []
    meanwhile = Meanwhile(setting, way, photos)
    replicas = setting.stack.replicas[:1] if way is DIRECT else setting.stack.replicas
    async with meanwhile.running():
        for replica in replicas:
            await setting.rest(3)
            statuses.append(await replica.end(signal.SIGTERM))
            replica.start()
            await replica.ready()
        await setting.rest(4)
    note = f"exit statuses {', '.join(map(str, statuses))}"
    return meanwhile.rows("a rolling restart by SIGTERM", note, held=not any(statuses))


async def grpc_hang(setting: Setting, way: Way, photos: Sequence[Asked]) -> list[GrpcRow]:
    victim = setting.stack.replicas[0]
    meanwhile = Meanwhile(setting, way, photos)
    async with meanwhile.running():
        await setting.rest(3)
        noticed, status = await victim.hang()
        await setting.rest(3)
    note = f"not ready after {noticed:.1f} s, exit status {status}, started again"
    # nginx does not repeat the status of the calls in the batch that hangs.
    return meanwhile.rows("a worker thread that hangs", note, status == 4, unavailable=True)


FOR_GRPC: tuple[GrpcCase, ...] = (grpc_nothing, grpc_kills, grpc_restart, grpc_hang)
GRPC_HEADER = (
    "| fault | by | clients | calls | OK | repeated by nginx | other statuses | p99 | "
    "wrong answers | held | |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def grpc_line(row: GrpcRow) -> str:
    outcomes = row.report.outcomes
    failed = Counter(one.reason.partition(" ")[0] for one in outcomes if one.status != 200)
    seen = ", ".join(f"{count} {name}" for name, count in failed.items()) or "0"
    return (
        f"| {row.fault} | {row.way.name} | {row.kind.name} | {len(outcomes)} | "
        f"{row.report.statuses[200]} | {'' if row.elsewhere is None else row.elsewhere} | {seen} | "
        f"{row.report.quantile(0.99):.2f} s | {row.wrong} | {'yes' if row.held else 'NO'} | "
        f"{row.note} |"
    )


async def grpc_rows(setting: Setting, case: GrpcCase) -> AsyncIterator[GrpcRow]:
    """The rows of one fault, of every way."""
    port = setting.stack.replicas[1].grpc_port
    assert port is not None
    photos = await asked_of(port)
    for way in WAYS:
        for row in await case(setting, way, photos):
            yield row
