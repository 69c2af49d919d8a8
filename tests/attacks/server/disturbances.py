"""Faults injected during an attack: decoders that are killed or can't start, SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import psutil

from service.http.server import CUT_OFF_SECONDS
from tests.attacks.judge import Check
from tests.attacks.server.target import ENDED, Target

KILL_SECONDS = 0.7
# RESNET_SHUTDOWN_TIMEOUT_SECONDS of the rows with SIGTERM.
SHUTDOWN_SECONDS = 5
# For the delay of the signal and of this process.
SLACK_SECONDS = 1.5
BACK_SECONDS = 20.0


async def kill_decoders(target: Target, seconds: float) -> list[Check]:
    """Kills every decoding process several times."""
    killed, ends = 0, time.monotonic() + seconds
    while time.monotonic() < ends:
        await asyncio.sleep(KILL_SECONDS)
        killed += _kill_processes(target, parents=False)
    return [Check("decoders", killed > 0, f"{killed} decoders killed")]


async def remove_interpreter(target: Target, seconds: float) -> list[Check]:
    """Decoding processes can't be started until the interpreter is restored."""
    assert target.interpreter is not None
    (replica,) = target.replicas
    target.interpreter.unlink()
    _kill_processes(target, parents=True)
    try:
        noticed = await replica.ready(wanted=False, within=seconds)
        checks = [Check("not ready", True, f"not ready after {noticed:.1f} s")]
    except TimeoutError:
        checks = [Check("not ready", False, f"ready for {seconds:.0f} s without decoders")]
    target.interpreter.symlink_to(os.path.realpath(sys.executable))
    try:
        back = await replica.ready(within=BACK_SECONDS)
        return [
            *checks,
            Check("ready again", True, f"ready {back:.1f} s after the interpreter was restored"),
        ]
    except TimeoutError:
        return [*checks, Check("ready again", False, f"not ready for {BACK_SECONDS:.0f} s")]


async def terminate(target: Target, seconds: float) -> list[Check]:
    """Sends SIGTERM to the first replica after a third of the attack."""
    await asyncio.sleep(seconds / 3)
    started = time.monotonic()
    try:
        status: int | str = await target.replicas[0].end(signal.SIGTERM)
    except Exception as error:
        status = type(error).__name__
    took = time.monotonic() - started
    in_time = took <= SHUTDOWN_SECONDS + CUT_OFF_SECONDS + SLACK_SECONDS
    return [Check("end", in_time and status == 0, f"ended after {took:.1f} s with {status}")]


def _kill_processes(target: Target, *, parents: bool) -> int:
    """Kills the processes below the replicas. parents: also those that start others."""
    killed = 0
    for replica in target.replicas:
        try:
            for process in psutil.Process(replica.pid).children(recursive=True):
                if parents or not process.children():
                    process.kill()
                    killed += 1
        except ENDED:
            continue
    return killed
