"""Dashboard and alerts, asked of a real Prometheus that scrapes a real server under load."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import yaml

from tests.e2e.conftest import Server

ROOT = Path(__file__).parents[2]
PHOTO = (ROOT / "tests" / "photos" / "coffee_cup.jpg").read_bytes()
ALERTS = ROOT / "deploy" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "resnet.json"
WAIT_SECONDS = 60.0

pytestmark = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="prometheus and promtool are not installed (Debian: apt-get install prometheus)",
)


def alert_rules() -> dict[str, str]:
    """Expressions by the alerts' names."""
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def panel_queries() -> dict[str, str]:
    """Expressions by the panels' titles and the targets' letters, over a minute each."""
    return {
        f"{panel['title']}, {target['refId']}": target["expr"].replace("$__rate_interval", "1m")
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
    }


def scaling_query() -> str:
    """What Kubernetes scales on."""
    path = ROOT / "deploy" / "kubernetes" / "scaling" / "scaled.yaml"
    (trigger,) = yaml.safe_load(path.read_text())["spec"]["triggers"]
    return str(trigger["metadata"]["query"])


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=WAIT_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_and_the_configuration_pass() -> None:
    promtool("check", "rules", str(ALERTS))
    promtool("check", "config", str(ROOT / "deploy" / "prometheus.yml"))


def test_every_alert_fires_on_a_bad_day_and_none_on_a_good_one() -> None:
    tested = (ROOT / "tests" / "alerts_test.yml").read_text()
    assert all(name in tested for name in alert_rules())
    promtool("test", "rules", str(ROOT / "tests" / "alerts_test.yml"))


@pytest.fixture
def prometheus(float32_server: Server, tmp_path: Path) -> Iterator[httpx2.Client]:
    """The project's configuration, with the one server in place of those that DNS names."""
    config = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ALERTS)]
    (scrape,) = config["scrape_configs"]
    del scrape["dns_sd_configs"]
    scrape["static_configs"] = [{"targets": [urlsplit(float32_server.url).netloc]}]
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={path}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def wait_until_it_answers(prometheus: httpx2.Client) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if prometheus.get("/-/ready").status_code == 200:
                return
        except httpx2.ConnectError:
            pass
        assert time.monotonic() < end
        time.sleep(0.1)


def ask(prometheus: httpx2.Client, expression: str) -> list[dict[str, Any]]:
    response = prometheus.get("/api/v1/query", params={"query": expression})
    assert response.status_code == 200, f"{expression}: {response.text}"
    found: list[dict[str, Any]] = response.json()["data"]["result"]
    return found


def data(prometheus: httpx2.Client, expression: str) -> bool:
    """Whether it gives a number."""
    return any(math.isfinite(float(one["value"][1])) for one in ask(prometheus, expression))


@contextmanager
def load(server: Server) -> Iterator[None]:
    """What meets every metric: good images, several at once, and bad ones."""
    enough = threading.Event()

    def client(number: int) -> None:
        with httpx2.Client(base_url=server.url, timeout=WAIT_SECONDS) as http:
            while not enough.is_set():
                images = [PHOTO, PHOTO] if number else [PHOTO[:1000]]
                http.post("/predict", files=[("file", ("a.jpg", one)) for one in images])

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, number) for number in range(4)]
        try:
            yield
        finally:
            enough.set()
        for one in clients:
            one.result()


@pytest.mark.weights
def test_every_panel_and_every_alert_has_data(
    float32_server: Server, prometheus: httpx2.Client
) -> None:
    without_a_threshold = {
        name: re.sub(r"\s*(<|>|==)\s*[\d.]+\s*$", "", expression)
        for name, expression in alert_rules().items()
    }
    assert all(
        without_a_threshold[name] != expression for name, expression in alert_rules().items()
    )
    queries = panel_queries() | without_a_threshold | {"scaling": scaling_query()}
    assert len(queries) > 30
    end = time.monotonic() + WAIT_SECONDS
    wait_until_it_answers(prometheus)
    with load(float32_server):
        while empty := {name: one for name, one in queries.items() if not data(prometheus, one)}:
            assert time.monotonic() < end, empty
            time.sleep(0.5)
    firing = {alert["labels"]["alertname"] for alert in alerts(prometheus)}
    assert not firing & {"ResnetNoReplica", "ResnetReplicaDown", "ResnetCanaryWrong"}


def alerts(prometheus: httpx2.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = prometheus.get("/api/v1/alerts").json()["data"]["alerts"]
    return found
