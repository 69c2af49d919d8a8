"""Damaged files end in a refusal: short runs of `tests.fuzz.checkpoints` and `.imports`."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from tests.fuzz.checkpoints import damaged, outcome, seeds


def test_damage_is_refused_and_nothing_else(tmp_path: Path) -> None:
    received = {outcome(path) for _, path in islice(damaged(tmp_path, seed=0), 200)}
    assert received == {"refused"}


def test_what_the_fuzzer_damages_is_read_as_far_as_its_shapes(tmp_path: Path) -> None:
    """Else it would damage what is refused anyhow."""
    from model_builder.checkpoints.formats.pytorch import reader

    for name, content in seeds(tmp_path).items():
        if name != "pickle":
            path = tmp_path / "sound.pth"
            path.write_bytes(content)
            assert len(reader.read(path).tensors) == 102, name


@pytest.mark.skipif(sys.platform != "linux", reason="measures a process's memory as Linux does")
def test_a_short_run_of_the_fuzzer_of_imports_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.imports", str(tmp_path), "--files", "400"]
    command += ["--of", "weights,labels,recipes,images"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    end = done.stdout.strip().splitlines()[-1]
    assert re.match(r"END 400 files: .*; 0 findings", end), done.stdout[-3000:]
    for kind in ("read", "refused"):
        assert re.search(rf"'{kind}': \d\d", end), end
