"""Jobs on a Ray cluster of two nodes on this machine: a worker and a node are killed.

With RAY_TESTS=1 alone: three nodes and their actors need two idle CPUs.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from model_builder.artifact.manifest import Artifact
from service.scoring.plan import Plan, carry_out
from service.scoring.summary import Summary
from service.settings import Settings
from tests.service.fakes import WAIT_SECONDS
from tests.service.scoring.color_engine import SPEC

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

IMAGES = 1200
ROOT = Path(__file__).parents[3]

pytestmark = [
    # Ray leaves sockets and files to the end of the process.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not os.environ.get("RAY_TESTS"), reason="RAY_TESTS=1 is not set"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Of two nodes with a CPU each, and the driver's."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_AUTH_MODE", "disabled")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        nodes = [made.add_node(num_cpus=1) for _ in range(2)]
        ray.init(address=made.address, logging_level="error", log_to_driver=False)
        try:
            yield made, nodes
        finally:
            ray.shutdown()
            made.shutdown()


def test_a_worker_and_a_node_are_killed_and_no_image_is_lost(
    cluster: Any, photos: Callable[[int], Path], artifact: Artifact, tmp_path: Path
) -> None:
    made, nodes = cluster
    folder, out = photos(IMAGES), tmp_path / "out.jsonl"
    (folder / "0" / "bad.jpg").write_bytes(b"bad")
    done: list[Summary] = []
    failures: list[str] = []
    plan = Plan(str(folder), str(out), on="ray", workers=2)
    settings = Settings.of(models=str(artifact.folder))

    def work() -> None:
        try:
            done.append(carry_out(plan, settings, threading.Event(), (SPEC,)))
        except BaseException as error:
            failures.append(repr(error))
            raise

    job = threading.Thread(target=work)
    job.start()
    _wait_for_rows(out, 150, job, failures)
    actors = _actors()
    assert actors
    os.kill(actors[0].pid, signal.SIGKILL)
    _wait_for_rows(out, 400, job, failures)
    # The driver is connected to one of them, any.
    own = ray.get_runtime_context().get_node_id()
    other = next(node for node in nodes if node.node_id != own)
    made.remove_node(other, allow_graceful=False)
    job.join(8 * WAIT_SECONDS)
    assert not job.is_alive()
    (summary,) = done
    assert (summary.images, summary.scored_now, summary.failed) == (IMAGES + 1, IMAGES + 1, 1)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    expected = sorted(str(path) for path in folder.rglob("*.jpg"))
    assert [row["path"] for row in rows] == expected
    assert sum("predictions" in row for row in rows) == IMAGES
    # With what a job on this machine wrote, too.
    assert carry_out(plan, settings, threading.Event(), (SPEC,)).scored_now == 0


def _actors() -> list[psutil.Process]:
    """Of this test's cluster."""
    children = psutil.Process().children(recursive=True)
    return [one for one in children if any("MapWorker" in part for part in one.cmdline())]


def _wait_for_rows(out: Path, rows: int, job: threading.Thread, failures: list[str]) -> None:
    end = time.monotonic() + 4 * WAIT_SECONDS
    while time.monotonic() < end:
        if out.exists() and out.read_bytes().count(b"\n") >= rows:
            return
        assert job.is_alive(), f"the job ended early: {failures}"
        time.sleep(0.05)
    raise AssertionError(f"no {rows} rows after {4 * WAIT_SECONDS:g} s")
