"""Runs one attack against one server."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.auth.api_keys import hash_of
from service.http.headers import API_KEY
from service.settings import LimitsSettings
from tests.attacks.attack import HONEST, Attack, Place
from tests.attacks.attackers.config import AttackerConfig, Findings
from tests.attacks.attackers.process import burn, perform
from tests.attacks.judge import Check, Expected, Left, Memory, Observation, judge, nothing_left
from tests.attacks.server.target import SERVICE, Target, behind_nginx, lone
from tests.attacks.server.watch import watching
from tests.e2e.faults.cases import peak_of
from tests.e2e.faults.load import Clients, Report

PER_SECOND = 5.0
USUAL_SECONDS, LEAST_SECONDS = 12.0, 1.0
PEAK_SECONDS = 3.0
# The attackers' connections are counted so long before the end.
HELD_SECONDS = 0.5
# How long the server may take to close everything after the attack.
SETTLE_SECONDS = 12.0
SETTLE_INTERVAL_SECONDS = 0.5
WARM_SECONDS = 1.0
# An attack that ends earlier is observed for so long.
SEEN_SECONDS = 4.0
# One gigabit a second, shared by the attackers.
LINK_BYTES_PER_SECOND = 125e6


@dataclass(frozen=True)
class Setting:
    """What all rows share.

    environment: settings of every server. photo: sent by the honest client. images: folder with
    the expensive ones. promised_bytes: limit of a server's process tree that is checked.
    most_bytes: above this the server is killed. scale: of durations. command: starts a server.
    """

    environment: Mapping[str, str]
    photo: bytes
    images: Path
    promised_bytes: int
    most_bytes: int
    scale: float = 1.0
    command: tuple[str, ...] = SERVICE

    def seconds(self, whole: float, least: float = LEAST_SECONDS) -> float:
        return max(least, whole * self.scale)


@dataclass(frozen=True)
class Row:
    attack: Attack
    place: Place
    seen: Observation
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)


async def run(
    attack: Attack,
    place: Place,
    setting: Setting,
    executor: Executor,
    report_progress: Callable[[str], None],
) -> Row:
    """Starts a server, attacks it and judges it.

    executor: runs the attackers. report_progress: called with each step's name.
    """
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        report_progress("starting")
        async with _started(attack, place, setting, Path(folder)) as target:
            seen, checks = await _observe(attack, target, setting, executor, report_progress)
    expected = Expected(
        attack.honest_rule,
        setting.promised_bytes,
        # Behind nginx its own timeouts apply.
        attack.held if place == "alone" else None,
        attack.serves_on,
        attack.probed,
        attack.quiet_log,
    )
    return Row(attack, place, seen, (*judge(seen, expected), *attack.checks(seen), *checks))


@asynccontextmanager
async def _started(
    attack: Attack, place: Place, setting: Setting, folder: Path
) -> AsyncIterator[Target]:
    environment = {**setting.environment, **attack.environment}
    if attack.key is not None:
        keys = folder / "keys"
        lines = [f"{hash_of(attack.key)} honest\n"]
        lines += [f"{hash_of(key)} attacker\n" for key in attack.attacker_keys]
        keys.write_text("".join(lines))
        environment["RESNET_API_KEYS_FILE"] = str(keys)
    if place == "nginx":
        async with behind_nginx(folder, environment, command=setting.command) as target:
            yield target
    else:
        async with lone(
            folder,
            environment,
            command=setting.command,
            descriptors=attack.descriptors,
            own_interpreter=attack.own_interpreter,
            grpc=attack.grpc,
        ) as target:
            yield target


async def _observe(
    attack: Attack,
    target: Target,
    setting: Setting,
    executor: Executor,
    report_progress: Callable[[str], None],
) -> tuple[Observation, list[Check]]:
    headers = {} if attack.key is None else {API_KEY: attack.key}
    honest = Clients(target.port, setting.photo, source=HONEST, headers=headers)
    await honest.in_turn(1, WARM_SECONDS, Report())
    capacity = 0.0
    if attack.honest_rule == "fair share":
        report_progress("its throughput")
        capacity = await peak_of(target.port, setting.photo, setting.seconds(PEAK_SECONDS))
    report_progress("the honest client alone")
    async with honest.meanwhile(PER_SECOND) as before:
        await asyncio.sleep(setting.seconds(USUAL_SECONDS))
    at_rest, memory_before = await target.left(attack.sources), target.memory_bytes()
    if at_rest is None:
        raise RuntimeError("The server did not answer before the attack.")
    seconds = setting.seconds(attack.seconds, attack.least_seconds)
    report_progress(f"attacked for {seconds:.0f} s")
    began = time.monotonic()
    async with (
        watching(target, setting.most_bytes) as watch,
        honest.meanwhile(PER_SECOND) as during,
    ):
        found, held, checks = await _attack(attack, target, setting, executor, seconds)
        ended = time.monotonic()
    for report in (during, watch.live, watch.ready):
        # Requests after the attack, while the last ones were awaited, do not count.
        report.outcomes[:] = [one for one in report.outcomes if one.started <= ended]
        report.seconds = ended - began
    report_progress("what is left")
    left = await _settled(attack, target, at_rest)
    control = Report()
    if attack.honest_rule == "quick":
        share = min(1.0, found.cpu_seconds / (ended - began))
        report_progress(f"beside a program with {share:.0%} of a CPU")
        async with honest.meanwhile(PER_SECOND) as control:
            until = time.monotonic() + setting.seconds(USUAL_SECONDS)
            await asyncio.get_running_loop().run_in_executor(executor, burn, share, until)
    memory = Memory(memory_before, watch.peak_bytes, target.memory_bytes())
    seen = Observation(
        before=before,
        during=during,
        ended=ended,
        per_second=PER_SECOND,
        addresses=len(attack.sources),
        replicas=len(target.replicas),
        capacity=capacity,
        memory=memory,
        live=watch.live,
        ready=watch.ready,
        at_rest=at_rest,
        left=left,
        held=held,
        errors=target.errors(),
        found=found,
        seconds=ended - began,
        cut_off=watch.cut_off,
        control=control,
    )
    return seen, checks


async def _attack(
    attack: Attack, target: Target, setting: Setting, executor: Executor, seconds: float
) -> tuple[Findings, int, list[Check]]:
    """The attackers' findings, the connections held at the end, and the disturbance's checks."""
    began = time.monotonic()
    ends = began + seconds
    body_bytes = LimitsSettings().max_body_bytes
    link = LINK_BYTES_PER_SECOND / len(attack.sources)
    loop = asyncio.get_running_loop()
    attackers = []
    if attack.attacker is not None:
        for source in attack.sources:
            config = AttackerConfig(
                target.port,
                source,
                ends,
                setting.photo,
                setting.images,
                body_bytes,
                link,
                target.replicas[0].grpc_port,
            )
            attackers.append(loop.run_in_executor(executor, perform, attack.attacker, config))
    disturbing = (
        asyncio.ensure_future(attack.disturbance(target, seconds)) if attack.disturbance else None
    )
    held = 0
    if attack.held is not None:
        await asyncio.sleep(max(0.0, seconds - HELD_SECONDS))
        held = await asyncio.to_thread(target.connections, attack.sources)
    found = Findings()
    for findings in await asyncio.gather(*attackers):
        found.add(findings)
    await asyncio.sleep(max(0.0, began + min(seconds, SEEN_SECONDS) - time.monotonic()))
    return found, held, [] if disturbing is None else await disturbing


async def _settled(attack: Attack, target: Target, at_rest: Left) -> Left | None:
    """Waits until nothing is left open. Returns what is left then, or at the latest moment."""
    if not attack.serves_on:
        return None
    ends = time.monotonic() + SETTLE_SECONDS
    while True:
        left = await target.left(attack.sources)
        over = time.monotonic() >= ends
        if over or (left is not None and nothing_left(at_rest, left)):
            return left
        await asyncio.sleep(SETTLE_INTERVAL_SECONDS)
