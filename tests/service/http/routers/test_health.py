"""Liveness, readiness, and the metrics."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from model_builder.artifact.manifest import MANIFEST
from model_builder.errors import BuilderError, InvalidArtifact
from service.inference.model import Model
from service.observability.metrics import Metrics
from tests.service.conftest import MODEL_NAME, Serve, Service, TestClient
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.images import plain

MODEL = {"model": MODEL_NAME}
RED = plain("red")


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What a `load` may wait for; set at the end."""
    event = threading.Event()
    yield event
    event.set()


def not_ready(client: TestClient) -> str:
    """That it says so, as it should; why."""
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Retry-After"] == "1"
    body = response.json()
    assert (body["status"], body["code"]) == (503, "not_ready")
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.head("/health/ready").status_code == 503
    assert "resnet_ready 0.0" in client.get("/metrics").text
    return str(body["detail"])


def test_ready(service: Service) -> None:
    response = service.client.get("/health/ready")
    assert response.status_code == 200
    names = ("models", "workers", "self_test", "serving", "decoders", "canary")
    checks = dict.fromkeys(names, "ok")
    assert response.json() == {"status": "ready", "checks": checks}
    assert "resnet_ready 1.0" in service.client.get("/metrics").text


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_balancers_may_ask_with_head(service: Service, path: str) -> None:
    response = service.client.head(path)
    assert response.status_code == 200
    assert response.content == b""


def test_live_but_not_ready_while_it_loads(
    start_app: Callable[..., TestClient], released: threading.Event
) -> None:
    def load(_: str) -> Model:
        released.wait(WAIT_SECONDS)
        raise BuilderError("the test is over")

    client = start_app(load)
    assert not_ready(client) == f"loading {MODEL_NAME}"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BuilderError("No source gave its file."), "No source gave its file."),
        (OSError("no space left"), "OSError: no space left"),
    ],
)
def test_not_ready_after_a_failure(
    start_app: Callable[..., TestClient], error: Exception, reason: str
) -> None:
    failures: list[str] = []

    def load(_: str) -> Model:
        raise error

    client = start_app(load, on_failure=failures.append)
    eventually(lambda: bool(failures))
    assert failures == [f"{MODEL_NAME} can't be served. {reason}"]
    said = not_ready(client)
    told = r"can't be served: load_failed, incident \w{8}\. The log has the cause\."
    assert re.fullmatch(f"{MODEL_NAME} {told}", said)
    response = client.post("/predict", content=RED, headers={"Content-Type": "image/png"})
    assert response.status_code == 503
    assert response.json()["detail"] == said


def test_an_artifact_folders_path_is_told_to_nobody(
    start_app: Callable[..., TestClient], tmp_path: Path
) -> None:
    """Neither while it loads nor when it can't be."""
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / MANIFEST).write_text("{}")
    go_on, failed = threading.Event(), threading.Event()

    def load(name: str) -> Model:
        assert go_on.wait(WAIT_SECONDS)
        raise InvalidArtifact(f"{name} has no labels")

    client = start_app(load, model=str(folder), on_failure=lambda _: failed.set())

    def said() -> str:
        answers = [client.get("/health/ready"), client.get("/models")]
        answers.append(client.post("/predict", files={"file": RED}))
        assert [one.status_code for one in answers] == [503, 200, 503]
        return " ".join(one.text for one in answers)

    try:
        loading = said()
    finally:
        go_on.set()
    assert failed.wait(WAIT_SECONDS)
    assert "loading artifact folder 1" in loading
    after = said()
    assert "artifact folder 1 can't be served: invalid_artifact, incident" in after
    assert "secret" not in loading + after


def test_not_ready_while_the_self_test_is_wrong(serve: Serve) -> None:
    """A device that gives every image the same: every batch "works"."""
    service = serve(self_test_interval_seconds=0.01)
    eventually(lambda: service.sample("resnet_canaries_total", result="right", **MODEL) > 0)
    assert service.client.get("/health/ready").status_code == 200
    service.engine.blind = True
    eventually(lambda: service.sample("resnet_canaries_total", result="wrong", **MODEL) > 0)
    said = not_ready(service.client)
    assert said.startswith(f"the self-test of {MODEL_NAME}: the logits differ by")
    body = service.client.get("/health/ready").json()
    assert body["checks"] == {
        "models": "ok",
        "workers": "ok",
        "self_test": body["detail"],
        "canary": body["detail"],
        "serving": "ok",
        "decoders": "ok",
    }
    service.engine.blind = False
    eventually(lambda: service.client.get("/health/ready").status_code == 200)
    assert service.sample("resnet_images_total", result="ok", **MODEL) == 0


def test_an_engine_that_only_raises_makes_it_give_up(serve: Serve) -> None:
    lost: list[str] = []
    service = serve(self_test_interval_seconds=0.01, unhealthy_exit_seconds=1, on_lost=lost.append)
    service.engine.failure = RuntimeError("CUDA error: device-side assert triggered")
    eventually(lambda: bool(lost))
    assert lost == [f"the self-test of {MODEL_NAME}: Inference failed."]
    assert not_ready(service.client) == lost[0]


def test_not_ready_while_no_decoding_process_can_be_started(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so to clients without the system's words, and recovers without a restart."""
    service = serve()
    predict = partial(
        service.client.post, "/predict", content=RED, headers={"Content-Type": "image/png"}
    )
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nowhere/python")
        for _ in range(2):
            response = predict()
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) >= 1
            body = response.json()
            assert body["code"] == "decoder_failed"
            assert body["detail"] == "No decoding process can be started."
        assert not_ready(service.client) == body["detail"]
        checks = service.client.get("/health/ready").json()["checks"]
        assert checks["decoders"] == body["detail"]
        assert service.sample("resnet_decoder_failures_total", reason="start") >= 1
    eventually(lambda: service.client.get("/health/ready").status_code == 200)
    assert predict().status_code == 200


def test_not_ready_while_it_shuts_down(service: Service) -> None:
    service.app.state.runtime.repository.close(WAIT_SECONDS)
    assert not_ready(service.client) == "shutting down"


def exposed(client: TestClient) -> dict[str, list[Sample]]:
    """Every sample that is exposed, by the name of its family."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    return {family.name: family.samples for family in text_string_to_metric_families(response.text)}


def value(samples: list[Sample], name: str, **labels: str) -> float:
    (found,) = [
        sample.value for sample in samples if (sample.name, sample.labels) == (name, labels)
    ]
    return float(found)


NAMES = {
    "resnet_connections",
    "resnet_connections_refused",
    "resnet_connections_timed_out",
    "resnet_requests_paced",
    "resnet_grpc_requests",
    "resnet_grpc_request_duration_seconds",
    "resnet_http_requests",
    "resnet_http_request_duration_seconds",
    "resnet_decode_seconds",
    "resnet_decode_queue_depth",
    "resnet_decoder_failures",
    "resnet_queue_wait_seconds",
    "resnet_inference_seconds",
    "resnet_batch_size",
    "resnet_queue_depth",
    "resnet_images",
    "resnet_queue_expected_wait_seconds",
    "resnet_pending_bytes",
    "resnet_pending_bytes_limit",
    "resnet_rejections",
    "resnet_canaries",
    "resnet_worker_failures",
    "resnet_model_load_seconds",
    "resnet_model_memory_bytes",
    "resnet_batches_at_once",
    "resnet_confidence",
    "resnet_expected_confidence",
    "resnet_ood_score",
    "resnet_classes",
    "resnet_ready",
    "resnet_model",
    "resnet_build",
}


def test_everything_declared_is_exposed(service: Service) -> None:
    families = exposed(service.client)
    # The times at which each began; a server exposes none, see `service.http.server`.
    shown = {name for name in families if not name.endswith("_created")}
    assert {name.removesuffix("_info") for name in shown if name.startswith("resnet_")} == NAMES
    assert {"process_cpu_seconds", "python_info", "python_gc_collections"} <= families.keys()


def test_every_metric_is_explained_and_named_after_its_unit() -> None:
    described = {family.name: family for family in Metrics().registry.collect()}
    for name in NAMES:
        family = described[name]
        assert family.documentation.endswith(".")
        if family.type == "histogram":
            # A confidence and a score have no unit.
            assert name.endswith(("_seconds", "_size", "_confidence", "_score"))


def test_what_was_done_is_counted(service: Service) -> None:
    client = service.client

    def predict(content: bytes, **parameters: str) -> int:
        headers = {"Content-Type": "image/png"}
        status: int = client.post(
            "/predict", content=content, headers=headers, params=parameters
        ).status_code
        return status

    assert [predict(RED), predict(RED), predict(RED[:60])] == [200, 200, 422]
    assert [predict(RED, model="other"), predict(RED, top_k="abc")] == [404, 422]
    files = [("file", (f"{index}.png", RED, "image/png")) for index in range(3)]
    assert client.post("/predict", files=files).status_code == 200
    assert client.get("/models").status_code == 200
    assert client.get("/models/resnet18").status_code == 200
    assert client.get("/nowhere").status_code == 404
    assert client.request("BREW", "/predict").status_code == 405
    service.engine.failure = RuntimeError("broken")
    assert predict(RED) == 500

    families = exposed(client)

    def requests(route: str, method: str, status: int) -> float:
        return value(
            families["resnet_http_requests"],
            "resnet_http_requests_total",
            route=route,
            method=method,
            status=str(status),
        )

    assert requests("/predict", "POST", 200) == 3
    assert requests("/predict", "POST", 422) == 2
    assert requests("/predict", "POST", 404) == 1
    assert requests("/predict", "POST", 500) == 1
    assert requests("/predict", "other", 405) == 1
    assert requests("/models", "GET", 200) == 1
    assert requests("/models/{name}", "GET", 200) == 1
    assert requests("unmatched", "GET", 404) == 1

    def rejections(reason: str) -> float:
        return value(families["resnet_rejections"], "resnet_rejections_total", reason=reason)

    assert rejections("invalid_image") == 1
    assert rejections("invalid_parameter") == 1
    assert rejections("model_not_found") == 1
    assert rejections("inference_failed") == 1
    assert rejections("method_not_allowed") == 1
    # Requests for unknown paths are not counted as refusals.
    reasons = {sample.labels["reason"] for sample in families["resnet_rejections"]}
    assert "not_found" not in reasons

    def images(result: str) -> float:
        return value(families["resnet_images"], "resnet_images_total", result=result, **MODEL)

    assert (images("ok"), images("failed"), images("dropped")) == (5, 1, 0)

    def histogram(name: str, part: str, **labels: str) -> float:
        return value(families[name], f"{name}_{part}", **labels)

    assert histogram("resnet_decode_seconds", "count") == 6
    assert histogram("resnet_queue_wait_seconds", "count", **MODEL) == 5
    batches = len(service.engine.batches)
    assert histogram("resnet_batch_size", "sum", **MODEL) == 6
    assert histogram("resnet_batch_size", "count", **MODEL) == batches
    assert histogram("resnet_inference_seconds", "count", **MODEL) == batches - 1
    assert histogram("resnet_http_request_duration_seconds", "count", route="/predict") == 8


def test_a_request_is_counted_when_it_ends(service: Service) -> None:
    """So the first look at the metrics does not see itself."""
    first, second = exposed(service.client), exposed(service.client)
    labels = {"route": "/metrics", "method": "GET", "status": "200"}
    assert first["resnet_http_requests"] == []
    assert value(second["resnet_http_requests"], "resnet_http_requests_total", **labels) == 1


def test_a_flood_of_scrapes_shares_a_text(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("service.http.routers.metrics.time", fake)
    made = []

    def counted(registry: CollectorRegistry) -> bytes:
        made.append(clock.now)
        return generate_latest(registry)

    monkeypatch.setattr("service.observability.exposition.generate_latest", counted)
    for _ in range(50):
        assert "resnet_ready 1.0" in service.client.get("/metrics").text
    assert len(made) == 5
    for clock.now in (100.125, 100.25, 100.375, 100.5):
        service.client.get("/metrics")
    assert made[5:] == [100.25, 100.5]
    clock.now = 115.0
    service.metrics.rejections.labels("not_ready").inc()
    assert 'reason="not_ready"' in service.client.get("/metrics").text
