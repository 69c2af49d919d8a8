"""The service in Ray Serve on a real local cluster.

With RAY_TESTS=1 alone: where Ray's services do not start in time, Ray ends the process.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

if not os.environ.get("RAY_TESTS"):
    pytest.skip("RAY_TESTS=1 is not set", allow_module_level=True)
pytest.importorskip("ray.serve")

import ray
from ray import serve

from service.integrations.ray_serve import application
from tests.e2e.conftest import Server
from tests.home import HOME
from tests.nginx import free_port

PHOTO = (Path(__file__).parents[1] / "photos" / "coffee_cup.jpg").read_bytes()
START_SECONDS = 300.0


def until(condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def url(int8_server: Server) -> Iterator[str]:
    """One replica on a local cluster; Ray's own services need about a gigabyte."""
    assert int8_server.url
    port = free_port()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"port": port})
    given = {
        "num_cpus": 1,
        "precision": "int8",
        "engine": "openvino",
        "max_batch_size": 1,
        "home": str(HOME),
    }
    serve.run(application(given))
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()
    ray.shutdown()


def predict(url: str) -> httpx2.Response:
    return httpx2.post(f"{url}/predict", files={"file": PHOTO}, timeout=60)


@pytest.mark.weights
def test_a_replica_runs_once_its_model_is_loaded(url: str) -> None:
    first = predict(url)
    assert first.status_code == 200
    assert first.json()["predictions"][0]["label"] == "espresso"
    assert httpx2.get(f"{url}/health/ready").status_code == 200
    refused = httpx2.post(f"{url}/predict", content=b"no image", timeout=60)
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.weights
def test_ray_s_endpoint_has_the_metrics(url: str) -> None:
    assert predict(url).status_code == 200
    (node,) = ray.nodes()
    endpoint = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    counted = "ray_resnet_images_total{"
    until(lambda: counted in httpx2.get(endpoint, timeout=60).text)


@pytest.mark.weights
def test_a_replica_that_is_killed_is_replaced(url: str) -> None:
    pids = replica_pids()
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: replica_pids() not in ([], pids))
    until(lambda: predict(url).status_code == 200)


def replica_pids() -> list[int]:
    """Of the processes that run the service's replicas: Ray names them so."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if command.startswith(b"ray::ServeReplica:default:resnet"):
            found.append(int(path.parent.name))
    return found
