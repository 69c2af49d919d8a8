"""Fetches in a process of its own, with an environment of its own.

    python -m tests.model_builder.fetch_process '{"source": {...}, "folder": "...", ...}'

Writes "ready", and then `{"path": ...}` or `{"error": ...}`, each in a line; its log to stderr.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_builder.architecture import Architecture
from model_builder.checkpoints import Checkpoint, HubSource, NpmSource, Source, UrlSource
from model_builder.errors import FetchFailed
from model_builder.fetching import Fetching, Patience
from model_builder.preprocessing import CAFFE
from model_builder.sources import fetch

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60

# Fails as fast as a test should, and as surely as the real thing.
QUICK = Patience(
    attempts=3, first_wait_seconds=0.0, longest_wait_seconds=0.0, read_timeout_seconds=5.0
)


def checkpoint(*sources: Source) -> Checkpoint:
    return Checkpoint(
        name="resnet18.test_in1k",
        architecture=Architecture(18),
        preprocessing=CAFFE,
        sources=sources,
        licence="MIT",
        paper="https://arxiv.org/abs/1512.03385",
        top1_percent=70.0,
        top5_percent=90.0,
    )


@dataclass(frozen=True)
class Outcome:
    """What a fetch in another process came to, and its log."""

    path: Path | None
    error: str | None
    log: str


def begin(
    source: Source,
    folder: Path,
    *,
    fetching: Fetching | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Starts the fetch and returns once it is about to begin."""
    wish = {
        "kind": type(source).__name__,
        "source": dataclasses.asdict(source),
        "folder": str(folder),
        "fetching": dataclasses.asdict(fetching or Fetching(patience=QUICK)),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.model_builder.fetch_process", json.dumps(wish)],
        cwd=ROOT,
        env={**os.environ, "NO_PROXY": "127.0.0.1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first == "ready\n", process.communicate(timeout=TIMEOUT_SECONDS)[1]
    return process


def end(process: subprocess.Popen[str]) -> Outcome:
    """Waits for the fetch to end."""
    answer, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, log
    said: dict[str, str] = json.loads(answer)
    path = said.get("path")
    return Outcome(None if path is None else Path(path), said.get("error"), log)


def main(wish: dict[str, Any]) -> dict[str, str]:
    kinds: dict[str, type[Source]] = {
        kind.__name__: kind for kind in (UrlSource, NpmSource, HubSource)
    }
    wishes = dict(wish["fetching"])
    wishes["patience"] = Patience(**wishes["patience"])
    source = kinds[wish["kind"]](**wish["source"])
    print("ready", flush=True)  # noqa: T201
    try:
        file = fetch(checkpoint(source), Path(wish["folder"]), fetching=Fetching(**wishes))
    except FetchFailed as error:
        return {"error": str(error)}
    return {"path": str(file.path)}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201
