"""Several workers behind one port: a real supervisor, real processes, real signals."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Server, running, started

PHOTO = (Path(__file__).parents[1] / "photos" / "coffee_cup.jpg").read_bytes()
WORKERS = {"RESNET_WORKERS": "2", "RESNET_PRECISION": "int8", "RESNET_MAX_BATCH_SIZE": "1"}
WAIT_SECONDS = 60.0


def predict(url: str) -> httpx2.Response:
    """On a connection of its own."""
    return httpx2.post(f"{url}/predict", files={"file": PHOTO}, timeout=60)


def responses_by_worker(url: str) -> dict[str, float]:
    """Requests with status 200 to /predict, by the worker that answered."""
    text = httpx2.get(f"{url}/metrics").text
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "resnet_http_requests_total" and sample.labels["route"] == "/predict":
                found[sample.labels["worker"]] += sample.value
    return found


def children(pid: int) -> list[int]:
    """The workers of a supervisor: its children, without the helper of multiprocessing."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for task in tasks for child in task.read_text().split()]
    return [
        child
        for child in found
        if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def until(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def ready_workers(server: Server, count: int) -> None:
    for _ in range(count):
        assert server.wait_for("Ready on "), server.messages()


@pytest.fixture
def workers(int8_server: Server) -> Iterator[Server]:
    """Two, both ready."""
    assert int8_server.url
    with running(WORKERS) as server:
        ready_workers(server, 1)
        yield server


@contextmanager
def requests_meanwhile(url: str, sent: list[int]) -> Iterator[None]:
    """One request after another, each tried once more where its connection breaks."""
    end = threading.Event()

    def send() -> None:
        while not end.is_set():
            for _ in range(2):
                try:
                    sent.append(predict(url).status_code)
                    break
                except httpx2.TransportError:
                    sent.append(0)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield
    end.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)


@pytest.mark.weights
def test_both_answer_and_one_exposition_has_both(workers: Server) -> None:
    until(lambda: predict(workers.url).status_code == 200 and len(answered(workers.url)) == 2)
    top = predict(workers.url).json()["predictions"][0]
    assert top["label"] == "espresso"
    assert workers.stop() == 0


def answered(url: str) -> set[str]:
    return {worker for worker, count in responses_by_worker(url).items() if count}


@pytest.mark.weights
def test_a_killed_worker_costs_what_it_had_in_hand_and_is_replaced(workers: Server) -> None:
    before = children(workers.process.pid)
    sent: list[int] = []
    with requests_meanwhile(workers.url, sent):
        until(lambda: len(sent) > 3)
        os.kill(before[0], signal.SIGKILL)
        ready_workers(workers, 1)
    after = children(workers.process.pid)
    assert len(after) == 2
    assert set(after) & set(before) == {before[1]}
    broken = Counter(sent)
    # Of two clients each had at most one request with the worker that was killed.
    assert broken.pop(0, 0) <= 2
    assert broken.keys() == {200}


@pytest.mark.weights
def test_a_rolling_restart_ends_no_request(workers: Server) -> None:
    before = children(workers.process.pid)
    sent: list[int] = []
    with requests_meanwhile(workers.url, sent):
        until(lambda: len(sent) > 3)
        workers.process.send_signal(signal.SIGHUP)
        ready_workers(workers, 2)
        until(lambda: not set(before) & set(children(workers.process.pid)))
    # A connection that arrives as its worker stops to listen may be reset.
    assert sent.count(0) <= 2
    assert set(sent) - {0} == {200}
    assert len(children(workers.process.pid)) == 2


@pytest.mark.weights
def test_the_port_stays_ready_in_a_rolling_restart(int8_server: Server) -> None:
    assert int8_server.url
    # The worker that leaves is not ready for so long, and may be the one that answers.
    with running({**WORKERS, "RESNET_DRAIN_SECONDS": "3"}) as server:
        ready_workers(server, 1)
        before = children(server.process.pid)
        server.process.send_signal(signal.SIGHUP)
        statuses: set[int] = set()

        def replaced() -> bool:
            # Each time on a connection of its own.
            with suppress(httpx2.TransportError):
                statuses.add(httpx2.get(f"{server.url}/health/ready", timeout=60).status_code)
            return not set(before) & set(children(server.process.pid))

        until(replaced, 4 * WAIT_SECONDS)
        assert statuses == {200}


@pytest.mark.weights
def test_workers_end_with_a_supervisor_that_is_killed(workers: Server) -> None:
    pids = children(workers.process.pid)
    workers.process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_model_that_can_t_be_loaded_ends_them_all(tmp_path: Path) -> None:
    nowhere = {
        "RESNET_HOME": str(tmp_path),
        "PATH": str(tmp_path),
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    with started({**WORKERS, **nowhere}) as server:
        assert server.process.wait(WAIT_SECONDS) == 3
        assert not server.wait_for("Ready on ")


def test_settings_that_make_no_sense_end_before_any_worker_starts(tmp_path: Path) -> None:
    with started({**WORKERS, "RESNET_API_KEYS_FILE": str(tmp_path / "missing")}) as server:
        assert server.process.wait(WAIT_SECONDS) == 2
        assert not server.wait_for("Starting ")
