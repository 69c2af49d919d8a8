"""Several workers behind one port and nginx: killed workers cost no client anything."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conftest import Server, running
from tests.e2e.test_workers import PHOTO, WAIT_SECONDS, WORKERS, children, ready_workers, until
from tests.nginx import NGINX, NGINX_CONF, Nginx, free_port

CLIENTS = 2
MOST_KILLS = 6
# A slow machine still answers.
PATIENCE = {"RESNET_QUEUE_WAIT_LIMIT_SECONDS": "60", "RESNET_REQUEST_TIMEOUT_SECONDS": "60"}

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)"),
]


@pytest.fixture
def workers(int8_server: Server) -> Iterator[Server]:
    assert int8_server.url
    with running({**WORKERS, **PATIENCE}) as server:
        ready_workers(server, 1)
        yield server


@pytest.fixture
def nginx(workers: Server, tmp_path: Path) -> Iterator[tuple[Nginx, str]]:
    """As nginx.conf says it for workers: their port in two lines, without keepalive."""
    keepalive = re.findall(r"^ *keepalive 32;\n(?:^ *#.*\n)*^ *keepalive_timeout .*\n", *_text())
    changed = {keepalive[0]: "", "proxy_read_timeout 35s;": "proxy_read_timeout 120s;"}
    port, replica = free_port(), int(workers.url.rpartition(":")[2])
    started = Nginx(tmp_path, port, [replica, replica], changed)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url))
        yield started, url
    finally:
        started.stop()


def _text() -> tuple[str, re.RegexFlag]:
    return NGINX_CONF.read_text(), re.MULTILINE


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health/live").status_code == 200
    except httpx2.TransportError:
        return False


def _reached(statuses: Counter[int], answers: int) -> bool:
    return statuses.total() >= answers


@contextmanager
def sending(url: str, statuses: Counter[int]) -> Iterator[None]:
    """Meanwhile each client sends one request after the other, each once."""
    end = threading.Event()

    def send() -> None:
        with httpx2.Client(timeout=2 * WAIT_SECONDS) as client:
            while not end.is_set():
                answer = client.post(f"{url}/predict", files={"file": PHOTO})
                statuses[answer.status_code] += 1

    threads = [threading.Thread(target=send) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join(2 * WAIT_SECONDS)


def test_what_a_killed_worker_had_is_answered_by_another(
    workers: Server, nginx: tuple[Nginx, str]
) -> None:
    balancer, url = nginx
    statuses: Counter[int] = Counter()

    def repeated() -> list[list[str]]:
        return [tries for tries in balancer.upstreams("/predict") if len(tries) > 1]

    with sending(url, statuses):
        for kill in range(MOST_KILLS):
            until(partial(_reached, statuses, statuses.total() + 2 * CLIENTS))
            os.kill(children(workers.process.pid)[kill % 2], signal.SIGKILL)
            ready_workers(workers, 1)
            # A kill meets the requests of some clients, or none.
            if kill >= 1 and repeated():
                break
    assert statuses.keys() == {200}
    assert repeated()
