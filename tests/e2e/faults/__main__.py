"""Does every fault and prints the table: `python -m tests.e2e.faults [--scale 0.2] [NAME ...]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.e2e.faults.cases import WITH_A_STEADY_LOAD, Row, Setting
from tests.e2e.faults.grpc_cases import FOR_GRPC, GRPC_HEADER, GrpcRow, grpc_line, grpc_rows
from tests.e2e.faults.overload import OVERLOADS
from tests.e2e.faults.stack import ROOT, Stack
from tests.e2e.faults.starts import AT_THE_START, Start
from tests.nginx import NGINX

IMAGE = ROOT / "tests" / "photos" / "chelsea_cat.jpg"
HEADER = (
    "| fault | requests | 200 | 503 | 429, 504 | anything else | p99 | held | |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


# What breaks the artifact on the way comes last.
ON_A_STACK = (*OVERLOADS, *WITH_A_STEADY_LOAD)


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def line(row: Row) -> str:
    statuses = row.report.statuses
    refused = statuses[429] + statuses[504]
    rest = statuses.total() - statuses[200] - statuses[503] - refused
    return (
        f"| {row.fault} | {statuses.total()} | {statuses[200]} | {statuses[503]} | {refused} | "
        f"{rest} | {row.report.quantile(0.99):.2f} s | {'yes' if row.held else 'NO'} | {row.note} |"
    )


async def run(
    names: list[str], scale: float, home: Path, precision: str, per_second: float | None = None
) -> list[bool]:
    """Of each row whether it held."""
    image = IMAGE.read_bytes()
    held = []

    def show(row: Row | GrpcRow) -> None:
        held.append(row.held)
        say(line(row) if isinstance(row, Row) else grpc_line(row))
        if not row.held:
            say(f"    {dict(row.report.reasons)}")

    def wanted(case: Callable[..., object]) -> bool:
        return not names or case.__name__ in names

    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        # Two copies: one is broken on the way.
        cache, broken = folder / "cache", folder / "broken"
        shutil.copytree(home / "checkpoints", cache / "checkpoints")
        for artifact in home.glob(f"artifacts/*-{precision}"):
            shutil.copytree(artifact, cache / "artifacts" / artifact.name)
        shutil.copytree(cache, broken)
        environment = {
            "RESNET_HOME": str(broken),
            "RESNET_PRECISION": precision,
            "RESNET_CPU_THREADS": "1",
            "RESNET_OFFLINE": "true",
            "RESNET_UNHEALTHY_EXIT_SECONDS": "10",
            "RESNET_DRAIN_SECONDS": "2",
            # The load stays on this machine.
            "RESNET_HOST": "127.0.0.1",
        }
        say(HEADER)
        if any(map(wanted, ON_A_STACK)):
            async with Stack(folder, environment) as stack:
                setting = Setting(stack, image, broken, scale, per_second)
                for case in filter(wanted, ON_A_STACK):
                    show(await case(setting))
        start = Start(folder, cache, environment, image)
        for case_of_start in filter(wanted, AT_THE_START):
            show(await case_of_start(start))
        if any(map(wanted, FOR_GRPC)):
            say(f"\n{GRPC_HEADER}")
            apart = folder / "grpc"
            apart.mkdir()
            # A start may choose another engine of the precision, with other probabilities.
            engine = os.environ.get("RESNET_ENGINE", "openvino")
            whole = {**environment, "RESNET_HOME": str(cache), "RESNET_ENGINE": engine}
            async with Stack(apart, whole, grpc=True) as stack:
                setting = Setting(stack, image, cache, scale, per_second)
                for grpc_case in filter(wanted, FOR_GRPC):
                    async for row in grpc_rows(setting, grpc_case):
                        show(row)
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="of the functions in cases.py and its like; by default all"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="1 is a whole run")
    parser.add_argument(
        "--per-second", type=float, help="the steady load; by default measured before each fault"
    )
    parser.add_argument("--home", type=Path, default=os.environ.get("RESNET_HOME"))
    parser.add_argument("--precision", default="int8")
    given = parser.parse_args()
    if NGINX is None or given.home is None:
        parser.error("needs nginx, and --home: a cache that has the artifact")
    held = asyncio.run(run(given.names, given.scale, given.home, given.precision, given.per_second))
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
