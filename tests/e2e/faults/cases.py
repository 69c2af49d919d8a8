"""The faults. Each is done to a running stack under a steady load, and says whether it held."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.faults.load import BROKEN, Clients, Report
from tests.e2e.faults.stack import Stack

BUILD_SECONDS = 600.0
# The next image of a client or the next self-test finds the fault.
COUNTED_SECONDS = 20.0
# With a reason, where it is due.
NEED_REASONS = {429, 503, 504}
# Of what one replica can do alone. Another that starts takes a CPU meanwhile.
STEADY_SHARE = 0.6


@dataclass(frozen=True)
class Row:
    """held: whether the clients saw only what they may."""

    fault: str
    report: Report
    held: bool
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """What the faults share. scale: 1 is a whole run, less a quick one. per_second: the steady
    load, for those who do not want it measured."""

    stack: Stack
    image: bytes
    home: Path
    scale: float
    per_second: float | None = None

    async def steady(self) -> float:
        """What one replica can carry alone, as fast as this machine is now."""
        if self.per_second is not None:
            return self.per_second
        alone = self.stack.replicas[1].port
        return STEADY_SHARE * await peak_of(alone, self.image, max(3.0, 6 * self.scale))

    def clients(self) -> Clients:
        return Clients(self.stack.port, self.image)

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(max(1.0, seconds * self.scale))


Case = Callable[[Setting], Awaitable[Row]]


def only_200(report: Report) -> bool:
    return set(report.statuses) == {200}


async def peak_of(port: int, image: bytes, seconds: float) -> float:
    """Answers a second to as many clients as keep it busy."""
    clients, report = Clients(port, image), Report()
    await clients.in_turn(12, seconds, report)
    if report.statuses[BROKEN] or not report.statuses[200]:
        raise RuntimeError(f"it does not serve: {report.reasons}")
    return report.goodput


def explained(report: Report) -> bool:
    """Whether nothing but 200 came, or another status with a reason that is one."""
    return all(
        outcome.status == 200 or (outcome.status in NEED_REASONS and outcome.reason)
        for outcome in report.outcomes
    ) and bool(report.statuses[200])


async def nothing(setting: Setting) -> Row:
    async with setting.clients().meanwhile(await setting.steady()) as report:
        await setting.rest(15)
    return Row("none", report, only_200(report))


async def a_kill(setting: Setting) -> Row:
    victim = setting.stack.replicas[0]
    steady = await setting.steady()
    async with setting.clients().meanwhile(steady) as report:
        await setting.rest(4)
        await victim.end(signal.SIGKILL)
        await setting.rest(6)
        victim.start()
        back = await victim.ready()
        await setting.rest(4)
    note = f"{steady:.1f} a second; ready {back:.1f} s after its new start"
    return Row("a replica killed with -9", report, only_200(report), note)


async def a_rolling_restart(setting: Setting) -> Row:
    statuses = []
    steady = await setting.steady()
    async with setting.clients().meanwhile(steady) as report:
        for replica in setting.stack.replicas:
            await setting.rest(3)
            statuses.append(await replica.end(signal.SIGTERM))
            replica.start()
            await replica.ready()
        await setting.rest(3)
    held = only_200(report) and statuses == [0, 0]
    note = f"{steady:.1f} a second; exit statuses {statuses}"
    return Row("a rolling restart by SIGTERM", report, held, note)


async def clients_that_hang_up(setting: Setting) -> Row:
    stack = setting.stack
    clients = setting.clients()
    left = 0

    async def answered() -> float:
        replicas = stack.replicas
        return sum([await one.metric("resnet_images_total", result="ok") for one in replicas])

    async def leave(after: float, share: float) -> None:
        nonlocal left
        _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        request = clients.request
        writer.write(request[: int(share * len(request))])
        await writer.drain()
        await asyncio.sleep(after)
        writer.transport.abort()
        left += 1

    before = await answered()
    async with clients.meanwhile(await setting.steady()) as report:
        end = time.monotonic() + max(4.0, 15 * setting.scale)
        while time.monotonic() < end:
            await asyncio.gather(
                *(leave(0.005 * number, share) for number in range(10) for share in (0.5, 1.0))
            )
    await setting.rest(1)
    waiting = [await replica.metric("resnet_queue_depth") for replica in stack.replicas]
    computed = await answered() - before - report.statuses[200]
    note = f"{left} left, {sum(waiting):.0f} of their images wait, {computed:.0f} were computed"
    held = explained(report) and not sum(waiting)
    return Row("clients that hang up half-way", report, held, note)


async def clients_that_trickle(setting: Setting) -> Row:
    clients = setting.clients()
    stack = setting.stack
    done = 0

    async def trickle(port: int) -> None:
        nonlocal done
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                for byte in clients.request[:400]:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.1)
                await reader.read(100)
            finally:
                writer.transport.abort()
                done += 1
        except OSError:
            pass

    # Straight to a replica as well, past nginx, which would keep them away from it.
    ports = [stack.port] * 100 + [stack.replicas[0].port] * 100
    slow = [asyncio.ensure_future(trickle(port)) for port in ports]
    async with clients.meanwhile(await setting.steady()) as report:
        await setting.rest(20)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    return Row("200 clients that trickle a body", report, only_200(report))


async def a_worker_that_raises(setting: Setting) -> Row:
    victim = setting.stack.replicas[0]
    died = {"reason": "died"}
    async with setting.clients().meanwhile(await setting.steady()) as report:
        before = await victim.metric("resnet_worker_failures_total", **died)
        counted = 0.0
        for number in range(1, 4):
            await setting.rest(3)
            os.kill(victim.pid, signal.SIGUSR1)
            end = time.monotonic() + COUNTED_SECONDS
            while counted < number and time.monotonic() < end:
                await asyncio.sleep(0.2)
                counted = await victim.metric("resnet_worker_failures_total", **died) - before
        await victim.ready()
    note = f"{counted:.0f} deaths counted, ready after them"
    return Row("a worker thread made to raise", report, only_200(report) and counted == 3, note)


async def a_worker_that_hangs(setting: Setting) -> Row:
    victim = setting.stack.replicas[0]
    async with setting.clients().meanwhile(await setting.steady()) as report:
        await setting.rest(3)
        noticed, status = await victim.hang()
        await setting.rest(3)
    note = f"not ready after {noticed:.1f} s, exit status {status}, started again"
    return Row("a worker thread that hangs", report, only_200(report) and status == 4, note)


async def a_truncated_file(setting: Setting) -> Row:
    stack = setting.stack
    files = (path for path in setting.home.glob("artifacts/*/network/**/*") if path.is_file())
    network = max(files, key=lambda path: path.stat().st_size)
    async with setting.clients().meanwhile(await setting.steady()) as report:
        await setting.rest(3)
        os.truncate(network, network.stat().st_size // 2)
        await setting.rest(6)
        running = [r.process is not None and r.process.poll() is None for r in stack.replicas]
        victim = stack.replicas[0]
        await victim.end()
        victim.start()
        try:
            back = await victim.ready(within=BUILD_SECONDS)
            ended = f"rebuilt in {back:.0f} s"
        except TimeoutError:
            assert victim.process is not None
            ended = f"a new start ends with {victim.process.poll()}"
        await setting.rest(3)
    note = f"{sum(running)} of 2 serve on; {ended}"
    return Row("the weights' file truncated", report, only_200(report) and all(running), note)


WITH_A_STEADY_LOAD: tuple[Case, ...] = (
    nothing,
    a_kill,
    a_rolling_restart,
    clients_that_hang_up,
    clients_that_trickle,
    a_worker_that_raises,
    a_worker_that_hangs,
    a_truncated_file,
)
