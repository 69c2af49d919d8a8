"""Accuracy by precision, as `resnet evaluate` measures it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import Accuracy
from benchmarks.server import RESNET

TIMEOUT_SECONDS = 1800.0


def evaluate(model: str, folder: Path, precisions: Sequence[str]) -> list[Accuracy]:
    """folder: of labeled images. Raises ValueError with the command's output if it failed."""
    options = [f"--precision={precision}" for precision in precisions]
    done = subprocess.run(
        [str(RESNET), "evaluate", model, str(folder), "--json", *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    if done.returncode != 0:
        raise ValueError(done.stderr.strip())
    return [
        Accuracy(
            precision=precision,
            images=row["count"],
            top1_percent=row["top1_percent"],
            top5_percent=row["top5_percent"],
            agreement_percent=row["agreement_percent"],
        )
        for precision, row in json.loads(done.stdout).items()
    ]
