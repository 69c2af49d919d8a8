"""The real clients, each in an environment of its own: `make clients`.

Two of them can't be imported in one process: both register the protobuf package `inference`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
# A folder with one virtual environment for each client; by default that of `make clients`.
VARIABLE = "CLIENT_ENVIRONMENTS"
SCRIPTS = Path(__file__).parent / "scripts"
TIMEOUT_SECONDS = 120.0


def python_of(client: str) -> Path:
    """The Python of a client's environment. Skips the test where it was not made."""
    folder = Path(os.environ.get(VARIABLE) or ROOT / "build" / "clients")
    python = folder / client / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{python} is not there: `make clients` makes it")
    return python


def results_of(client: str, script: str, *arguments: str) -> dict[str, Any]:
    """What a script wrote in JSON, run by the client's Python."""
    done = subprocess.run(
        [str(python_of(client)), str(SCRIPTS / script), *arguments],
        env={**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
