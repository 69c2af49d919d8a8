"""The real clients, each in an environment of its own: `make clients`.

Two of them can't be imported in one process: both register the protobuf package `inference`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
# A folder with one virtual environment for each client; by default that of `make clients`.
VARIABLE = "CLIENT_ENVIRONMENTS"
SCRIPTS = Path(__file__).parent / "scripts"
TIMEOUT_SECONDS = 120.0


def run_client(client: str, script: Path, *arguments: str) -> str:
    """What a script writes, run in the client's environment. Skips the test where that is missing.

    A folder that is no virtual environment has packages for the Python of the tests.
    """
    folder = Path(os.environ.get(VARIABLE) or ROOT / "build" / "clients") / client
    if not folder.exists():
        pytest.skip(f"{folder} is not there: `make clients` makes it")
    own = folder / "bin" / "python"
    python, packages = (str(own), "") if own.exists() else (sys.executable, str(folder))
    done = subprocess.run(
        [python, str(script), *arguments],
        env={**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONPATH": packages},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def results_of(client: str, script: str, *arguments: str) -> dict[str, Any]:
    """What a script wrote in JSON, run in the client's environment."""
    found: dict[str, Any] = json.loads(
        run_client(client, SCRIPTS / script, *arguments).splitlines()[-1]
    )
    return found
