"""Builds in a subprocess: their logs, their errors and their end."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import psutil
import pytest

from model_builder.build.subprocess import BuildRequest, build_in_subprocess
from model_builder.errors import BuilderError, ConversionFailed


@dataclass(frozen=True)
class Pretended:
    """A stand-in for a build."""

    folder: Path
    outcome: Literal["done", "builder error", "other error", "death"]

    def run(self) -> None:
        (self.folder / "pid").write_text(str(os.getpid()))
        logging.getLogger("model_builder.build.builder").info("Building %s", "something")
        os.write(2, b"fully_quantize: 0\n")
        if self.outcome == "builder error":
            raise ConversionFailed("There is no tensor for fc/bias")
        if self.outcome == "other error":
            raise ZeroDivisionError("division by zero")
        if self.outcome == "death":
            os._exit(7)


def pretend(folder: Path, outcome: Any) -> None:
    build_in_subprocess(cast(BuildRequest, Pretended(folder, outcome)))


def test_the_build_runs_in_another_process_which_ends_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        pretend(tmp_path, "done")
    pid = int((tmp_path / "pid").read_text())
    assert pid != os.getpid()
    assert not psutil.pid_exists(pid)
    # Its log records are logged here once; the output of native libraries is not.
    assert caplog.messages == ["Building something"]
    assert capfd.readouterr().err == ""


def test_its_error_is_raised_in_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match="no tensor for fc/bias"):
        pretend(tmp_path, "builder error")


def test_an_unexpected_error_has_its_traceback_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BuilderError, match="ZeroDivisionError: division by zero"):
        pretend(tmp_path, "other error")
    assert "in run" in caplog.text


def test_the_error_says_that_the_process_died(tmp_path: Path) -> None:
    with pytest.raises(BuilderError, match=r"ended before it was done, with exit status 7"):
        pretend(tmp_path, "death")


def test_without_tensorflow_the_error_says_what_is_missing() -> None:
    """In an interpreter that has none."""
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from pathlib import Path\n"
        "from model_builder.checkpoints import loader\n"
        "from model_builder.build.subprocess import BuildRequest\n"
        "from model_builder.exporters.base import BuildTarget\n"
        "target = BuildTarget('litert', 'int8', 'model_builder.exporters.litert')\n"
        "from model_builder.checkpoints.catalog import find_checkpoint\n"
        "loader.published_weights = lambda *_: None\n"
        "row = find_checkpoint('resnet18')\n"
        "try: BuildRequest(row, object(), Path(), Path('artifact'), target).run()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("BuilderError artifact is not built, and can't be")
    assert "only finished artifacts are served" in done.stdout
