"""The faults. Each is done to a running stack under a steady load, and says whether it held."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.e2e.faults.load import BROKEN, Clients, Report
from tests.e2e.faults.stack import Stack

BUILD_SECONDS = 600.0
# The next picture of a user or the next canary finds the fault.
COUNTED_SECONDS = 20.0
# With a reason, where it is due.
TOLD_WHY = {429, 503, 504}
DEADLINE_MS = 2000
# What the clock and the client's own work add to a deadline that the service kept.
DEADLINE_SLACK = 1.25


@dataclass(frozen=True)
class Row:
    """held: whether the clients saw only what they may."""

    fault: str
    report: Report
    held: bool
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """What the faults share. peak: answers a second that the stack can give; `scale` 1 is a whole
    run, less a quick one."""

    stack: Stack
    picture: bytes
    home: Path
    peak: float
    scale: float

    @property
    def steady(self) -> float:
        """What one replica can carry alone."""
        return 0.3 * self.peak

    def clients(self) -> Clients:
        return Clients(self.stack.port, self.picture)

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(max(1.0, seconds * self.scale))


Case = Callable[[Setting], Awaitable[Row]]


def only_200(report: Report) -> bool:
    return set(report.statuses) == {200}


def told(report: Report) -> bool:
    """Whether nothing but 200 came, or another status with a reason that is one."""
    return all(
        outcome.status == 200 or (outcome.status in TOLD_WHY and outcome.reason)
        for outcome in report.outcomes
    ) and bool(report.statuses[200])


async def nothing(setting: Setting) -> Row:
    async with setting.clients().meanwhile(setting.steady) as report:
        await setting.rest(15)
    return Row("none", report, only_200(report))


async def a_kill(setting: Setting) -> Row:
    victim = setting.stack.replicas[0]
    async with setting.clients().meanwhile(setting.steady) as report:
        await setting.rest(4)
        await victim.end(signal.SIGKILL)
        await setting.rest(6)
        victim.start()
        back = await victim.ready()
        await setting.rest(4)
    note = f"ready {back:.1f} s after its new start"
    return Row("a replica killed with -9", report, only_200(report), note)


async def a_rolling_restart(setting: Setting) -> Row:
    statuses = []
    async with setting.clients().meanwhile(setting.steady) as report:
        for replica in setting.stack.replicas:
            await setting.rest(3)
            statuses.append(await replica.end(signal.SIGTERM))
            replica.start()
            await replica.ready()
        await setting.rest(3)
    held = only_200(report) and statuses == [0, 0]
    return Row("a rolling restart by SIGTERM", report, held, f"exit statuses {statuses}")


async def ten_times_the_load(setting: Setting) -> Row:
    replicas = setting.stack.replicas
    before = sum(replica.resident_bytes() for replica in replicas)
    clients = Clients(setting.stack.port, setting.picture, timeout_ms=DEADLINE_MS)
    report = Report()
    health: list[float] = []

    async def watch() -> None:
        async with httpx2.AsyncClient(timeout=30) as client:
            while True:
                for path in ("/health/ready", "/health/live", "/metrics"):
                    began = time.monotonic()
                    url = f"http://127.0.0.1:{replicas[0].port}{path}"
                    if (await client.get(url)).status_code != 200:
                        health.append(float("inf"))
                    health.append(time.monotonic() - began)
                await asyncio.sleep(1)

    watching = asyncio.ensure_future(watch())
    # Right before and right after: the machine may have other things to do as well.
    seconds = max(5.0, 15 * setting.scale)
    spent_before = time.process_time()
    first = await peak_of(setting.stack, setting.picture, seconds)
    spent_at_peak = (time.process_time() - spent_before) / seconds
    spent_before = time.process_time()
    await clients.at_rate(10 * first, max(6.0, 60 * setting.scale), report)
    spent = (time.process_time() - spent_before) / report.seconds - spent_at_peak
    watching.cancel()
    peak = (first + await peak_of(setting.stack, setting.picture, seconds)) / 2
    await setting.rest(5)
    grown = sum(replica.resident_bytes() for replica in replicas) / before - 1
    latest = max(outcome.seconds for outcome in report.outcomes if outcome.status == 200)
    # Elsewhere the clients would have processors of their own.
    processors = os.cpu_count() or 1
    of_all, share = report.goodput / peak, report.goodput / (peak * (1 - spent / processors))
    in_time = latest <= DEADLINE_SLACK * DEADLINE_MS / 1000 and not report.statuses[504]
    held = told(report) and of_all >= 0.85 and in_time and grown <= 0.1 and max(health) < 10
    note = (
        f"goodput {report.goodput:.1f} a second, {of_all:.0%} of the peak, {share:.0%} of it with "
        f"the processors that the clients left ({spent:.2f} of {processors} went to more of them); "
        f"slowest answer {latest:.2f} s of {DEADLINE_MS / 1000:g}, "
        f"slowest probe {max(health):.2f} s, memory {grown:+.1%}"
    )
    return Row("ten times the load", report, held, note)


async def clients_that_hang_up(setting: Setting) -> Row:
    stack = setting.stack
    clients = setting.clients()
    before = [await replica.metric("resnet_images_total") for replica in stack.replicas]
    left = 0

    async def leave(after: float, share: float) -> None:
        nonlocal left
        _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        request = clients.request
        writer.write(request[: int(share * len(request))])
        await writer.drain()
        await asyncio.sleep(after)
        writer.transport.abort()
        left += 1

    async with clients.meanwhile(setting.steady) as report:
        end = time.monotonic() + max(4.0, 15 * setting.scale)
        while time.monotonic() < end:
            await asyncio.gather(
                *(leave(0.005 * number, share) for number in range(10) for share in (0.5, 1.0))
            )
    await setting.rest(1)
    waiting = [await replica.metric("resnet_queue_depth") for replica in stack.replicas]
    after = [await replica.metric("resnet_images_total") for replica in stack.replicas]
    computed = sum(after) - sum(before)
    note = f"{left} left, {sum(waiting):.0f} of their pictures wait, {computed:.0f} were computed"
    return Row("clients that hang up half-way", report, told(report) and not sum(waiting), note)


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
    async with clients.meanwhile(setting.steady) as report:
        await setting.rest(20)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    return Row("200 clients that trickle a body", report, only_200(report))


async def a_worker_that_raises(setting: Setting) -> Row:
    victim = setting.stack.replicas[0]
    died = {"reason": "died"}
    async with setting.clients().meanwhile(setting.steady) as report:
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
    async with setting.clients().meanwhile(setting.steady) as report:
        await setting.rest(3)
        os.kill(victim.pid, signal.SIGUSR2)
        noticed = await victim.ready(wanted=False)
        status = await victim.exit_status()
        victim.start()
        await victim.ready()
        await setting.rest(3)
    note = f"not ready after {noticed:.1f} s, exit status {status}, started again"
    return Row("a worker thread that hangs", report, only_200(report) and status == 4, note)


async def a_truncated_file(setting: Setting) -> Row:
    stack = setting.stack
    files = (path for path in setting.home.glob("artifacts/*/network/**/*") if path.is_file())
    network = max(files, key=lambda path: path.stat().st_size)
    async with setting.clients().meanwhile(setting.steady) as report:
        await setting.rest(3)
        os.truncate(network, network.stat().st_size // 2)
        await setting.rest(6)
        running = [r.process is not None and r.process.poll() is None for r in stack.replicas]
        victim = stack.replicas[0]
        await victim.end()
        victim.start()
        try:
            back = await victim.ready(within=BUILD_SECONDS)
            ended = f"built anew in {back:.0f} s"
        except TimeoutError:
            assert victim.process is not None
            ended = f"a new start ends with {victim.process.poll()}"
        await setting.rest(3)
    note = f"{sum(running)} of 2 serve on; {ended}"
    return Row("the weights' file truncated", report, only_200(report) and all(running), note)


ON_A_STACK: tuple[Case, ...] = (
    nothing,
    a_kill,
    a_rolling_restart,
    ten_times_the_load,
    clients_that_hang_up,
    clients_that_trickle,
    a_worker_that_raises,
    a_worker_that_hangs,
    a_truncated_file,
)


async def peak_of(stack: Stack, picture: bytes, seconds: float) -> float:
    """Answers a second to as many clients as keep it busy."""
    clients, report = Clients(stack.port, picture), Report()
    await clients.in_turn(12, seconds, report)
    if report.statuses[BROKEN] or not report.statuses[200]:
        raise RuntimeError(f"the stack does not serve: {report.reasons}")
    return report.goodput
