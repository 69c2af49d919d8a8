"""Jobs on small images, with `FakeEngine` or in a process of their own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from PIL import Image

from model_builder.artifact.manifest import Artifact
from service.scoring.plan import Plan, carry_out
from service.scoring.summary import Summary
from service.settings import Settings
from tests.service.fakes import WAIT_SECONDS
from tests.service.scoring.color_engine import SPEC

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0))


def jpeg(index: int = 0) -> bytes:
    """Red, green, blue and black by turns."""
    file = io.BytesIO()
    Image.new("RGB", (40, 40), COLORS[index % len(COLORS)]).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Callable[[int], Path]:
    """A folder with so many images, in two folders."""

    def make(count: int) -> Path:
        folder = tmp_path / "photos"
        for index in range(count):
            path = folder / f"{index % 2}" / f"{index:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(index))
        return folder

    return make


@pytest.fixture
def score(artifact: Artifact) -> Callable[..., Summary]:
    """Runs a job in this process. Options are those of `Plan`, and `stop`."""

    def run(source: object, output: object, **options: Any) -> Summary:
        settings = Settings.of(models=str(artifact.folder), decode_workers=1)
        stop = options.pop("stop", Event())
        return carry_out(Plan(str(source), str(output), **options), settings, stop, (SPEC,))

    return run


@dataclass
class JobProcess:
    """A job in a process of its own. count_file: a byte for each image that was computed.

    environment: added to this process's.
    """

    arguments: list[str]
    count_file: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def computed(self) -> int:
        return self.count_file.stat().st_size if self.count_file.exists() else 0

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.service.scoring.job_process", *self.arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd(), **self.environment},
        )

    def start_until(self, computed: int) -> subprocess.Popen[str]:
        """Returns when so many images are computed, or the process has ended."""
        process = self.start()
        end = time.monotonic() + 2 * WAIT_SECONDS
        while self.computed < computed and process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        return process

    def finish(self) -> list[int]:
        """Runs it to its end: the numbers of images, of those scored now, and of bad ones."""
        process = self.start()
        out, _ = process.communicate(timeout=4 * WAIT_SECONDS)
        assert process.returncode == 0
        return [int(one) for one in out.split()]


@pytest.fixture
def job_process(artifact: Artifact, tmp_path: Path) -> Callable[..., JobProcess]:
    def make(source: Path, output: Path, *names: str) -> JobProcess:
        count_file = tmp_path / f"{output.name}.count"
        arguments = [str(source), str(output), str(artifact.folder), str(count_file), *names]
        return JobProcess(arguments, count_file)

    return make
