"""Ten times the load, of two replicas behind nginx and of one that is asked directly."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2
import psutil

from tests.e2e.faults.cases import Case, Row, Setting, explained, peak_of
from tests.e2e.faults.crowd import Crowd
from tests.e2e.faults.load import Clients, Report
from tests.e2e.faults.stack import Replica

DEADLINE_MS = 2000
# What the clock and the client's own work add to a deadline that the service kept.
DEADLINE_SLACK = 1.25
LEAST_SHARE, MOST_GROWN, SLOWEST_PROBE_SECONDS = 0.85, 0.1, 10.0


async def ten_times_the_load(setting: Setting) -> Row:
    stack = setting.stack
    return await overload(setting, "ten times the load", stack.port, stack.replicas)


async def ten_times_a_lone_replicas(setting: Setting) -> Row:
    lone = setting.stack.replicas[0]
    return await overload(setting, "ten times a lone replica's, no nginx", lone.port, [lone])


@dataclass
class Probes:
    """Asks a replica how it is, meanwhile. slowest: seconds by path; infinite if it was not 200."""

    port: int
    slowest: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("/health/ready", "/health/live", "/metrics"), 0.0)
    )

    async def watch(self) -> None:
        async with httpx2.AsyncClient(timeout=30) as client:
            while True:
                for path, slowest in self.slowest.items():
                    began = time.monotonic()
                    answer = await client.get(f"http://127.0.0.1:{self.port}{path}")
                    took = time.monotonic() - began if answer.status_code == 200 else float("inf")
                    self.slowest[path] = max(slowest, took)
                await asyncio.sleep(1)


def cpu_seconds(setting: Setting, replicas: list[Replica]) -> dict[str, float]:
    """CPU time so far, by what took it; of this process it is the clients'.

    A replica's first thread has its event loop, nearly all of the others' time is the network's.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    for replica in replicas:
        process = psutil.Process(replica.pid)
        for thread in process.threads():
            part = "event loops" if thread.id == replica.pid else "networks"
            spent[part] += thread.user_time + thread.system_time
        spent["decoders"] += sum(map(_own_seconds, process.children(recursive=True)))
    nginx = psutil.Process(setting.stack.nginx.process.pid)
    spent["nginx"] = sum(map(_own_seconds, (nginx, *nginx.children(recursive=True))))
    spent["clients"] = time.process_time()
    return spent


def _own_seconds(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


async def overload(setting: Setting, fault: str, port: int, replicas: list[Replica]) -> Row:
    async def peak() -> float:
        return await peak_of(port, setting.image, max(5.0, 15 * setting.scale))

    async def busy_seconds() -> float:
        metric = "resnet_inference_seconds_sum"
        return sum([await replica.metric(metric) for replica in replicas]) / len(replicas)

    # Right before and right after: the machine may have other things to do as well.
    first = await peak()
    before = sum(replica.resident_bytes() for replica in replicas)
    report, probes = Report(), Probes(replicas[0].port)
    request = Clients(port, setting.image, timeout_ms=DEADLINE_MS).request
    watching = asyncio.ensure_future(probes.watch())
    spent, worked = cpu_seconds(setting, replicas), await busy_seconds()
    begun = time.monotonic()
    seconds = max(6.0, 60 * setting.scale)
    await asyncio.to_thread(Crowd(port, request).run, 10 * first, seconds, report)
    took = time.monotonic() - begun
    worked = await busy_seconds() - worked
    spent = {part: cpu - spent[part] for part, cpu in cpu_seconds(setting, replicas).items()}
    watching.cancel()
    # Those that were let in at the end and answered after it are no part of what it kept up.
    ends = begun + seconds
    in_time_to_count = (one for one in report.outcomes if one.started + one.seconds <= ends)
    goodput = sum(one.status == 200 for one in in_time_to_count) / seconds
    share = goodput / ((first + await peak()) / 2)
    await setting.rest(5)
    grown = sum(replica.resident_bytes() for replica in replicas) / before - 1
    latest = max(outcome.seconds for outcome in report.outcomes if outcome.status == 200)
    in_time = latest <= DEADLINE_SLACK * DEADLINE_MS / 1000 and not report.statuses[504]
    quick = max(probes.slowest.values()) < SLOWEST_PROBE_SECONDS
    held = explained(report) and share >= LEAST_SHARE and in_time and grown <= MOST_GROWN and quick
    shares = ", ".join(f"{part} {cpu / took:.2f}" for part, cpu in spent.items())
    note = (
        f"goodput {goodput:.1f} a second, {share:.0%} of the peak; the devices were busy "
        f"for {worked / took:.0%} of the time; of {os.cpu_count()} CPUs {shares}; "
        f"slowest answer {latest:.2f} s of {DEADLINE_MS / 1000:g}; "
        f"slowest {', '.join(f'{path} {most:.2f} s' for path, most in probes.slowest.items())}; "
        f"memory {grown:+.1%}"
    )
    return Row(fault, report, held, note)


OVERLOADS: tuple[Case, ...] = (ten_times_the_load, ten_times_a_lone_replicas)
