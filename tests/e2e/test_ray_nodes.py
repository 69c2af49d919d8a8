"""Ray Serve on two nodes: one of them is killed under load.

With RAY_TESTS=1 alone: three nodes and two replicas need two idle CPUs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

if not os.environ.get("RAY_TESTS"):
    pytest.skip("RAY_TESTS=1 is not set", allow_module_level=True)

from importlib.util import find_spec

from model_builder.checkpoints.download.fetch import LocalFile
from tests.e2e.conftest import resnet
from tests.e2e.ray_clients import digest, sending
from tests.e2e.ray_process import RayProcess, ray_process
from tests.nginx import free_port

PHOTOS = {
    path.name: path.read_bytes() for path in (Path(__file__).parents[1] / "photos").glob("*.jpg")
}
CLIENTS = 4
# Ray's proxy would send all to the replica of its own node.
BOTH = {"RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0"}


@pytest.fixture
def url() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def nodes(published: LocalFile, url: str) -> Iterator[RayProcess]:
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    assert published.path.exists()
    built = resnet("quantize", "resnet50")
    assert built.returncode == 0, built.stderr
    with ray_process(["-m", "tests.e2e.ray_two_nodes", url.rpartition(":")[2]], BOTH) as started:
        started.until(lambda: "ready" in started.lines())
        yield started


def cpu_seconds(pid: int) -> float:
    return float(psutil.Process(pid).cpu_times().user)


@pytest.mark.weights
def test_a_node_that_is_killed_costs_the_requests_that_its_replica_had(
    nodes: RayProcess, url: str, record_property: Callable[[str, object], None]
) -> None:
    expected = {}
    for name, photo in PHOTOS.items():
        alone = httpx2.post(f"{url}/predict", files={"file": photo}, timeout=60)
        expected[name] = digest(alone.content)
    nodes.until(lambda: len(nodes.replicas()) == 2)
    before = {pid: cpu_seconds(pid) for pid in nodes.replicas()}

    def both_work() -> bool:
        return all(cpu_seconds(pid) - idle > 0.5 for pid, idle in before.items())

    with sending(url, PHOTOS, CLIENTS) as seen:
        nodes.until(lambda: seen.answered >= 60 and both_work())
        nodes.write("kill")
        nodes.until(lambda: "killed" in nodes.lines())
        killed = seen.answered
        nodes.until(lambda: len(set(before) & set(nodes.replicas())) == 1)
        nodes.until(lambda: seen.answered >= killed + 60)
        nodes.write("add")
        nodes.until(lambda: len(nodes.replicas()) == 2)
        replaced = seen.answered
        nodes.until(lambda: seen.answered >= replaced + 60)
    record_property("attempts by status", str(dict(seen.attempts)))
    assert {one: seen.answers[one] for one in seen.answers if one not in expected.items()} == {}
    assert seen.gave_up == 0
    # Of four clients each had one request under way.
    assert sum(count for status, count in seen.attempts.items() if status != 200) <= CLIENTS
