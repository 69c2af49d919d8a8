"""Runs a reader on many files, each within limits of memory and CPU, in processes that may die.

A finding is an exception that the reader does not raise on purpose, a process that dies, one that
does not end, and a file that takes more memory or CPU than the limits. Its file is kept.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

# A description, a file or a folder, and what reading it ends in, in a word.
Case = tuple[str, Path, Callable[[], str]]
# Makes the cases of one process, in a folder, from a seed.
Cases = Callable[[Path, int], Iterator[Case]]
FILES_A_PROCESS = 2000
KEPT_OF_A_KIND = 3
REPORT_SECONDS = 300


@dataclass(frozen=True)
class Limits:
    """Of one file. address_bytes: what a process may map beyond what it has mapped at its start."""

    memory_bytes: int = 256 << 20
    cpu_seconds: float = 5.0
    address_bytes: int = 2 << 30
    wall_seconds: float = 120.0


@dataclass
class Totals:
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: int = 0
    most_bytes: int = 0
    most_cpu_seconds: float = 0.0
    memory_of: str = ""
    cpu_of: str = ""
    kinds: Counter[str] = field(default_factory=Counter)

    def text(self) -> str:
        return (
            f"{self.outcomes.total()} files: {dict(self.outcomes)}; {self.findings} findings of "
            f"{len(self.kinds)} kinds; most "
            f"memory {self.most_bytes / 2**20:.1f} MiB ({self.memory_of}); most CPU "
            f"{self.most_cpu_seconds:.3f} s ({self.cpu_of})"
        )


def run(
    cases: Cases, folder: Path, *, seconds: float, files: int, seed: int, limits: Limits
) -> Totals:
    """folder: for the files; findings are kept in its `findings`. Ends after `seconds` or `files`,
    whichever is first.
    """
    totals, console = Totals(), Console(soft_wrap=True)
    (folder / "findings").mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    reported = time.monotonic()
    while time.monotonic() < end and totals.outcomes.total() < files:
        left = min(FILES_A_PROCESS, files - totals.outcomes.total())
        for result in _process(cases, folder / "work", end, left, seed, limits):
            totals.outcomes[result["outcome"]] += 1
            if result["bytes"] > totals.most_bytes:
                totals.most_bytes, totals.memory_of = result["bytes"], result["description"]
            if result["cpu"] > totals.most_cpu_seconds:
                totals.most_cpu_seconds, totals.cpu_of = result["cpu"], result["description"]
            if result["problem"]:
                totals.findings += 1
                kind = str(result["kind"])
                totals.kinds[kind] += 1
                if totals.kinds[kind] <= KEPT_OF_A_KIND:
                    kept = _keep(result, folder / "findings" / str(totals.findings))
                    console.print(f"FINDING {kept}: {kind}: {result['description']}", markup=False)
                    console.print(result["problem"], markup=False)
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                console.print(f"{time.strftime('%H:%M:%S')} {totals.text()}", markup=False)
        seed += 1
    console.print(f"END {totals.text()}", markup=False)
    return totals


def _keep(result: dict[str, Any], place: Path) -> Path:
    path = Path(result["path"])
    place.mkdir(exist_ok=True)
    with suppress(OSError):
        if path.is_dir():
            shutil.copytree(path, place / path.name)
        elif path.exists():
            shutil.copy(path, place)
    return place


def _process(
    cases: Cases, folder: Path, end: float, files: int, seed: int, limits: Limits
) -> Iterator[dict[str, Any]]:
    """The results of one process, the last of which may be its death."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reads)
            _child(cases, folder, end, files, seed, limits, writes)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writes)
    begun: dict[str, Any] = {"description": "before the first file", "path": str(folder)}
    with os.fdopen(reads, "rb", buffering=0) as pipe:
        pending, hung = b"", False
        while True:
            if not select.select([pipe], [], [], limits.wall_seconds)[0]:
                hung = True
                os.kill(pid, signal.SIGKILL)
                break
            part = pipe.read(65536)
            if not part:
                break
            *lines, pending = (pending + part).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "outcome" in message:
                    yield begun | message
                else:
                    begun = message
    _, status = os.waitpid(pid, 0)
    if status != 0:
        what = "it does not end" if hung else f"status {os.waitstatus_to_exitcode(status)}"
        problem = f"the process died: {what}"
        died = {"outcome": "died", "bytes": 0, "cpu": 0.0, "problem": problem, "kind": "died"}
        yield begun | died


def _child(
    cases: Cases, folder: Path, end: float, files: int, seed: int, limits: Limits, writes: int
) -> None:
    mapped = _status("VmSize") + limits.address_bytes
    resource.setrlimit(resource.RLIMIT_AS, (mapped, mapped))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, (description, path, read) in enumerate(cases(folder, seed)):
        if number == files or time.monotonic() > end:
            return
        begun = {"description": f"seed {seed}, {number}: {description}", "path": str(path)}
        os.write(writes, json.dumps(begun).encode() + b"\n")
        Path("/proc/self/clear_refs").write_text("5")
        before, cpu, problem, kind = _status("VmHWM"), time.process_time(), "", ""
        try:
            outcome = read()
        except Exception as error:
            outcome, problem = "failed", traceback.format_exc()[-2500:]
            frame = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} {frame.filename}:{frame.lineno}"
        cpu = time.process_time() - cpu
        grown = max(0, _status("VmHWM") - before)
        if cpu > limits.cpu_seconds or grown > limits.memory_bytes:
            kind = kind or "limits"
            problem += f"\n{cpu:.1f} s of CPU, {grown / 2**20:.0f} MiB"
        result = {"outcome": outcome, "bytes": grown, "cpu": cpu, "problem": problem, "kind": kind}
        os.write(writes, json.dumps(result).encode() + b"\n")


def _status(field: str) -> int:
    """Bytes, of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)
