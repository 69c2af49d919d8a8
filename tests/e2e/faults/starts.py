"""Faults of the start: the disk, the cache, two at once; and the clock."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.faults.cases import BUILD_SECONDS, Row, only_200
from tests.e2e.faults.load import Clients, Report
from tests.e2e.faults.stack import Replica, Stack

FAILED_TO_LOAD = 3
# Of Debian's package faketime: moves the clock of the day and leaves the one that only counts.
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@dataclass(frozen=True)
class Start:
    """cache: one with a checkpoint's file and its artifact, which is not to be touched."""

    folder: Path
    cache: Path
    environment: dict[str, str]
    image: bytes

    def replica(self, home: Path) -> Replica:
        return Replica(self.folder, {**self.environment, "RESNET_HOME": str(home)})

    def home(self, name: str, *, artifacts: bool) -> Path:
        """A cache of its own: the published file, and the artifacts if wanted."""
        home = self.folder / name
        shutil.copytree(self.cache / "checkpoints", home / "checkpoints")
        if artifacts:
            shutil.copytree(self.cache / "artifacts", home / "artifacts")
        else:
            (home / "artifacts").mkdir()
        return home


async def the_disk_full(start: Start) -> Row:
    home = start.home("full", artifacts=False)
    replica = start.replica(home)
    with mounted(home / "artifacts", "size=8m"):
        replica.start()
        status = await replica.exit_status(BUILD_SECONDS)
        said = "No space left on device" in replica.last_lines(20)
        left = [path.name for path in (home / "artifacts").iterdir() if path.suffix != ".lock"]
    held = status == FAILED_TO_LOAD and said and not left
    note = f"ends with {status}, says why: {said}, leaves behind: {left or 'nothing'}"
    return Row("the disk full while building", Report(), held, note)


async def two_on_an_empty_cache(start: Start) -> Row:
    home = start.home("empty", artifacts=False)
    replicas = [start.replica(home) for _ in range(2)]
    try:
        for replica in replicas:
            replica.start()
        waits = await asyncio.gather(*(replica.ready(within=BUILD_SECONDS) for replica in replicas))
        built = sum(replica.log.read_text().count('"message": "Built ') for replica in replicas)
        report = Report()
        for replica in replicas:
            await Clients(replica.port, start.image).in_turn(1, 2, report)
        note = f"built {built} time, ready after {waits[0]:.0f} and {waits[1]:.0f} s"
        return Row("two on an empty cache", report, only_200(report) and built == 1, note)
    finally:
        await asyncio.gather(*(replica.end() for replica in replicas))


async def a_read_only_cache(start: Start) -> Row:
    home = start.home("read-only", artifacts=True)
    empty = start.folder / "read-only-empty"
    empty.mkdir()
    report = Report()
    with read_only(home), read_only(empty):
        replica, hopeless = start.replica(home), start.replica(empty)
        hopeless.start()
        replica.start()
        try:
            await replica.ready()
            await Clients(replica.port, start.image).in_turn(1, 2, report)
        finally:
            await replica.end()
        status = await hopeless.exit_status()
        said = "Read-only file system" in hopeless.last_lines(20)
    held = only_200(report) and status == FAILED_TO_LOAD and said
    note = f"with an artifact it serves; without one it ends with {status} and says why: {said}"
    return Row("the cache read-only", report, held, note)


async def the_clock_set_back(start: Start) -> Row:
    fault = "the clock set an hour, then a day back"
    if not FAKETIME.is_file():
        return Row(fault, Report(), False, f"not run: {FAKETIME} is missing")
    offset = start.folder / "clock"
    offset.write_text("+0")
    environment = {
        **start.environment,
        "RESNET_HOME": str(start.cache),
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    folder = start.folder / "clock-stack"
    folder.mkdir()
    async with Stack(folder, environment) as stack:
        async with Clients(stack.port, start.image).meanwhile(1.0) as report:
            await asyncio.sleep(4)
            for moved in ("-1h", "+1h", "-1d"):
                offset.write_text(moved)
                await asyncio.sleep(4)
        clocks = {line.partition('"time": "')[2][:13] for line in stack.replicas[0].log_lines()}
        wrong = [await r.metric("resnet_canaries_total") for r in stack.replicas]
        right = [await r.metric("resnet_canaries_total", result="right") for r in stack.replicas]
    held = only_200(report) and wrong == right and len(clocks) >= 3
    note = f"hours seen in the log: {len(clocks)}; every self-test right: {wrong == right}"
    return Row(fault, report, held, note)


AT_THE_START = (the_disk_full, two_on_an_empty_cache, a_read_only_cache, the_clock_set_back)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """An empty file system in memory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written below, not even by root."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def may_mount() -> bool:
    return os.geteuid() == 0 and shutil.which("mount") is not None
