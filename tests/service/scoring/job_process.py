"""A scoring job in a process of its own, which tests kill.

    python -m tests.service.scoring.job_process INPUT OUTPUT ARTIFACT COUNT_FILE [OUTPUT_NAMES [ON]]

COUNT_FILE grows by a byte for each image that is computed. ARTIFACT "real": the settings' model.
ON: "local" or "ray", with two workers, which count themselves.
"""

from __future__ import annotations

import os
import sys
from typing import Literal

from service.cli.commands.score import stoppable
from service.engines.registry import ENGINES
from service.inference.request import RowResult
from service.scoring.plan import Plan, carry_out
from service.scoring.worker import Worker
from service.settings import Settings
from tests.service.scoring.color_engine import SPEC
from tests.service.scoring.kills import counted_engine


def main(
    source: str,
    output: str,
    artifact: str,
    count_file: str,
    outputs: str = "predictions",
    on: str = "local",
) -> int:
    counted = os.open(count_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    infer = Worker._infer

    async def infer_counted(self: Worker, data: bytes, outputs: tuple[str, ...]) -> RowResult:
        row = await infer(self, data, outputs)
        os.write(counted, b".")
        return row

    Worker._infer = infer_counted  # type: ignore[method-assign]
    real = artifact == "real"
    settings = Settings.of() if real else Settings.of(models=artifact, decode_workers=1)
    spec = counted_engine.SPEC if on == "ray" else SPEC
    with stoppable() as stop:
        where: Literal["local", "ray"] = "ray" if on == "ray" else "local"
        plan = Plan(source, output, tuple(outputs.split(",")), on=where, workers=2)
        summary = carry_out(plan, settings, stop, ENGINES if real else (spec,))
    sys.stdout.write(f"{summary.images} {summary.scored_now} {summary.failed}\n")
    return 0 if stop.received is None else 128 + stop.received


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
