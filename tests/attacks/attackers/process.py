"""The processes of the attackers. They import this package and nothing heavier."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

from tests.attacks.attackers.config import AttackerConfig, AttackerFn, Findings

MOST_CONNECTIONS = 4096
START_SECONDS = 0.5
# A period of the control's work and rest.
PERIOD_SECONDS = 0.01
BLOCK = bytes(2**14)
# An attacker that has not ended so long after the attack is an error.
LATE_SECONDS = 60.0


@contextmanager
def attacker_processes(count: int, niceness: int) -> Iterator[Executor]:
    """An executor of so many processes. They are started here, before the time of an attack."""
    with ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=prepare_attacker,
        initargs=(niceness,),
    ) as executor:
        for started in [executor.submit(time.sleep, START_SECONDS) for _ in range(count)]:
            started.result()
        yield executor


def prepare_attacker(niceness: int) -> None:
    """Initializes an attacker's process: it shares the CPUs with the server, which real attackers
    do not, so its priority is lower; and it may open many connections."""
    os.nice(niceness)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS if most == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def burn(share: float, ends: float) -> None:
    """The control: takes a share of one CPU until `ends`, as the attackers did, and sends nothing.

    share: 0 to 1. ends: on the clock of `time.monotonic`.
    """
    while (started := time.monotonic()) < ends:
        until = time.process_time() + share * PERIOD_SECONDS
        while time.process_time() < until and time.monotonic() < ends:
            hashlib.sha256(BLOCK)
        time.sleep(max(0.0, started + PERIOD_SECONDS - time.monotonic()))


def perform(attacker: AttackerFn, config: AttackerConfig) -> Findings:
    """Runs one attacking address to its end. Called in a process of the executor."""
    started = time.process_time()

    async def attack() -> Findings:
        return await asyncio.wait_for(attacker(config), config.seconds_left + LATE_SECONDS)

    found = asyncio.run(attack())
    found.cpu_seconds = time.process_time() - started
    return found
