"""The clients of docs/clients.md find out what is in real photos, by every protocol."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.e2e.clients.environments import ROOT
from tests.e2e.conftest import Server
from tests.e2e.test_predict import PHOTOS, WHAT_THEY_ARE

pytestmark = pytest.mark.weights

CLIENTS = ROOT / "examples" / "clients"
TIMEOUT_SECONDS = 120.0
PROGRAMS = {
    "python": [sys.executable, str(CLIENTS / "classify.py")],
    "node": ["node", str(CLIENTS / "classify.mjs")],
    "curl": ["sh", str(CLIENTS / "classify.sh")],
}


@pytest.mark.parametrize("protocol", ["predict", "v2", "v1"])
@pytest.mark.parametrize("language", PROGRAMS)
def test_a_client_names_what_is_in_a_photo(
    float32_server: Server, language: str, protocol: str
) -> None:
    program = language if language != "python" else sys.executable
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    url = float32_server.url
    photos = [str(PHOTOS / name) for name in WHAT_THEY_ARE]
    options = [protocol] if language == "curl" else ["--url", url, "--protocol", protocol]
    done = subprocess.run(
        [*PROGRAMS[language], *options, *photos],
        env={**os.environ, "URL": url, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(WHAT_THEY_ARE)
    for name, label in WHAT_THEY_ARE.items():
        (line,) = [line for line in lines if label in line]
        # curl prints whole answers, in the order of the photos.
        assert name in line or line.startswith("{")
