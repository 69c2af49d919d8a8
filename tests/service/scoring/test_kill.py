"""Jobs that are killed, and started again: every image has one row."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyarrow import parquet

from service.scoring.scorer import MIN_IN_FLIGHT
from service.scoring.sinks.parquet import SMALLEST
from tests.service.fakes import WAIT_SECONDS
from tests.service.scoring.conftest import JobProcess

IMAGES = 480
KILLS = (90, 230, 400)

Photos = Callable[[int], Path]
MakeJob = Callable[..., JobProcess]


def paths_in(output: Path) -> list[str]:
    if output.suffix == ".jsonl":
        return [json.loads(line)["path"] for line in output.read_text().splitlines()]
    if output.suffix == ".csv":
        with output.open(newline="") as file:
            return [row["path"] for row in csv.DictReader(file)]
    paths: list[str] = parquet.read_table(output).column("path").to_pylist()
    return paths


@pytest.mark.parametrize(
    ("name", "lost", "kills"),
    [
        ("out", SMALLEST, KILLS),
        ("out.parquet", SMALLEST, KILLS[1:2]),
        ("out.jsonl", 0, KILLS),
        ("out.csv", 0, KILLS[1:2]),
    ],
)
def test_kills_cost_no_image_and_few_are_scored_again(
    photos: Photos,
    job_process: MakeJob,
    tmp_path: Path,
    name: str,
    lost: int,
    kills: tuple[int, ...],
) -> None:
    folder = photos(IMAGES)
    job = job_process(folder, tmp_path / name, "predictions,embedding")
    for computed in kills:
        process = job.start_until(computed)
        process.kill()
        process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == -signal.SIGKILL
    images, now, bad = job.finish()
    assert (images, bad) == (IMAGES, 0)
    assert now < IMAGES
    expected = sorted(str(path) for path in folder.rglob("*.jpg"))
    assert paths_in(tmp_path / name) == expected
    # At each kill: the part that was being filled, what was at work, and a batch on its way.
    assert job.computed - IMAGES <= len(kills) * (lost + MIN_IN_FLIGHT + 8)


def test_a_signal_loses_nothing(photos: Photos, job_process: MakeJob, tmp_path: Path) -> None:
    folder = photos(IMAGES)
    job = job_process(folder, tmp_path / "out")
    process = job.start_until(100)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 128 + signal.SIGINT
    written = int(out.split()[0])
    assert written == job.computed == len(paths_in(tmp_path / "out"))
    assert written < IMAGES
    assert job.finish() == [IMAGES, IMAGES - written, 0]
    assert job.computed == IMAGES
    assert len(set(paths_in(tmp_path / "out"))) == IMAGES


def test_decoders_that_are_killed_cost_no_image(
    photos: Photos, job_process: MakeJob, tmp_path: Path
) -> None:
    folder = photos(IMAGES)
    job = job_process(folder, tmp_path / "out.jsonl")
    process = job.start_until(100)
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    out, _ = process.communicate(timeout=2 * WAIT_SECONDS)
    assert process.returncode == 0
    assert [int(one) for one in out.split()] == [IMAGES, IMAGES, 0]
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()
    ]
    assert len({row["path"] for row in rows if row["predictions"]}) == IMAGES
