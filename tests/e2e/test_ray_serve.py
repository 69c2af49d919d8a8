"""`resnet ray deploy` as a user runs it: a local cluster in processes of its own.

With RAY_TESTS=1 alone: Ray's services and a replica need a gigabyte and two idle CPUs.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx2
import pytest

if not os.environ.get("RAY_TESTS"):
    pytest.skip("RAY_TESTS=1 is not set", allow_module_level=True)

from importlib.util import find_spec
from pathlib import Path

from model_builder.checkpoints.download.fetch import LocalFile
from tests.e2e.conftest import resnet
from tests.e2e.ray_process import RayProcess, ray_process
from tests.nginx import free_port

PHOTO = (Path(__file__).parents[1] / "photos" / "coffee_cup.jpg").read_bytes()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def deployed(published: LocalFile, port: int, url: str) -> Iterator[RayProcess]:
    """One replica, which is ready. The last test ends it."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    assert published.path.exists()
    built = resnet("quantize", "resnet50")
    assert built.returncode == 0, built.stderr
    settings = {"RESNET_PRECISION": "int8", "RESNET_MAX_BATCH_SIZE": "1"}
    command = ["-m", "service", "ray", "deploy", "--num-cpus", "1", "--port", str(port)]
    with ray_process(command, settings) as started:
        started.until(lambda: httpx2.get(f"{url}/health/ready", timeout=60).status_code == 200)
        yield started


def predict(url: str) -> httpx2.Response:
    return httpx2.post(f"{url}/predict", files={"file": PHOTO}, timeout=60)


@pytest.mark.weights
@pytest.mark.usefixtures("deployed")
def test_a_replica_runs_once_its_model_is_loaded(url: str) -> None:
    first = predict(url)
    assert first.status_code == 200
    assert first.json()["predictions"][0]["label"] == "espresso"
    refused = httpx2.post(f"{url}/predict", content=b"no image", timeout=60)
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.weights
def test_ray_s_endpoint_has_the_metrics(deployed: RayProcess, url: str) -> None:
    assert predict(url).status_code == 200
    deployed.until(lambda: "ray_resnet_images_total{" in deployed.metrics())


@pytest.mark.weights
def test_a_replica_that_is_killed_is_replaced(deployed: RayProcess, url: str) -> None:
    (killed,) = deployed.replicas()
    os.kill(killed, signal.SIGKILL)
    deployed.until(lambda: deployed.replicas() not in ([], [killed]))
    deployed.until(lambda: predict(url).status_code == 200)


@pytest.mark.weights
def test_sigterm_ends_it_and_all_that_it_started(deployed: RayProcess) -> None:
    assert len(deployed.pids()) > 3
    assert deployed.stop() == 0, deployed.log()
    deployed.until_nothing_is_left()
