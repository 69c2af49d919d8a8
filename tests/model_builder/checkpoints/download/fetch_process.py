"""Fetches in a new process with its own environment variables.

    python -m tests.model_builder.checkpoints.download.fetch_process JSON

JSON: `[{"kind": "UrlSource", "source": {...}, ...}]`.

Writes `{"ready": true}`, and then `{"path": ...}` or `{"error": ...}` for each fetch, a line each;
its log to stderr.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model_builder.artifact.preprocessing import CAFFE
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.download.config import DownloadConfig, RetryPolicy
from model_builder.checkpoints.download.fetch import fetch
from model_builder.checkpoints.download.sources.hub import HubSource
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.checkpoints.download.sources.source import Source
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.errors import FetchFailed
from model_builder.networks.config import ResNetConfig

MODULE = "tests.model_builder.checkpoints.download.fetch_process"
ROOT = Path(__file__).parents[4]
TIMEOUT_SECONDS = 60

# Short waits: the same retries as in production, in less time.
QUICK = RetryPolicy(
    attempts=3, first_wait_seconds=0.0, longest_wait_seconds=0.0, read_timeout_seconds=5.0
)


def checkpoint(*sources: Source) -> Checkpoint:
    return Checkpoint(
        name="resnet18.test_in1k",
        architecture=ResNetConfig.of("resnet18"),
        preprocessing=CAFFE,
        sources=sources,
        licence="MIT",
        paper="https://arxiv.org/abs/1512.03385",
        top1_percent=70.0,
        top5_percent=90.0,
    )


@dataclass(frozen=True)
class Job:
    """One fetch."""

    source: Source
    folder: Path
    fetching: DownloadConfig = field(default_factory=lambda: DownloadConfig(retry_policy=QUICK))


@dataclass(frozen=True)
class Outcome:
    """The result of a fetch in another process, and that process's log."""

    path: Path | None
    error: str | None
    log: str


def begin(*jobs: Job, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts the fetches, in sequence, and returns when the first is about to begin."""
    requests = [
        {"kind": type(job.source).__name__, **json.loads(json.dumps(asdict(job), default=str))}
        for job in jobs
    ]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            MODULE,
            json.dumps(requests),
        ],
        cwd=ROOT,
        env={**os.environ, "NO_PROXY": "127.0.0.1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert json.loads(first) == {"ready": True}, process.communicate(timeout=TIMEOUT_SECONDS)[1]
    return process


def end(process: subprocess.Popen[str]) -> list[Outcome]:
    """Waits for all the fetches to end."""
    answers, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, log
    outcomes = []
    for said in map(json.loads, answers.splitlines()):
        path = said.get("path")
        outcomes.append(Outcome(None if path is None else Path(path), said.get("error"), log))
    return outcomes


def wait_for(true: Callable[[], bool]) -> None:
    """Returns when the condition holds; another process's writes have no event to wait for."""
    for _ in range(100 * TIMEOUT_SECONDS):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError(f"It did not come to that within {TIMEOUT_SECONDS} s.")


def main(requests: list[dict[str, Any]]) -> None:
    kinds: dict[str, type[Source]] = {
        kind.__name__: kind for kind in (UrlSource, NpmSource, HubSource)
    }
    say({"ready": True})
    for request in requests:
        retry_policy = RetryPolicy(**request["fetching"].pop("retry_policy"))
        fetching = DownloadConfig(**request["fetching"], retry_policy=retry_policy)
        row = checkpoint(kinds[request["kind"]](**request["source"]))
        try:
            say({"path": str(fetch(row, Path(request["folder"]), config=fetching).path)})
        except FetchFailed as error:
            say({"error": str(error)})


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    main(json.loads(sys.argv[1]))
