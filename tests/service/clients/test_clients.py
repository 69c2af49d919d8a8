"""Clients that people have, each in an environment of its own: `make clients`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.conftest import MODEL_NAME, Serve, listening
from tests.service.http.protocols.v2 import SIZE
from tests.service.images import plain

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[2] / "build" / "clients"


@pytest.mark.parametrize("client", ["tritonclient", "kserve", "tensorflow_serving"])
def test_a_real_client(serve: Serve, tmp_path: Path, client: str) -> None:
    environment = ENVIRONMENTS / client
    if not environment.exists():
        pytest.skip(f"{client} is not installed: make clients")
    photo = tmp_path / "red.png"
    photo.write_bytes(plain("red"))
    own = environment / "bin" / "python"
    service = serve(grpc_port=0)
    with listening(service.app) as port:
        arguments = (port, service.app.state.grpc_port, MODEL_NAME, photo, SIZE)
        done = subprocess.run(
            [
                str(own if own.exists() else sys.executable),
                str(HERE / f"{client}_calls.py"),
                *map(str, arguments),
            ],
            env={**os.environ, "PYTHONPATH": "" if own.exists() else str(environment)},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout + done.stderr
