"""Clients that people have, over HTTP and gRPC: `make clients`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.clients.environments import run_client
from tests.service.conftest import MODEL_NAME, Serve, listening
from tests.service.http.protocols.v2 import SIZE
from tests.service.images import plain

HERE = Path(__file__).parent


@pytest.mark.parametrize("client", ["tritonclient", "kserve", "tensorflow_serving"])
def test_a_real_client(serve: Serve, tmp_path: Path, client: str) -> None:
    photo = tmp_path / "red.png"
    photo.write_bytes(plain("red"))
    service = serve(grpc_port=0)
    with listening(service.app) as port:
        arguments = (port, service.app.state.grpc_port, MODEL_NAME, photo, SIZE)
        run_client(client, HERE / f"{client}_calls.py", *map(str, arguments))
