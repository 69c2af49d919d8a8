"""Traces as a collector receives them over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from service.observability import tracing
from tests.interpreter import modules_after
from tests.service.conftest import Serve
from tests.service.fakes import WAIT_SECONDS
from tests.service.images import plain

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(HTTPServer):
    """Records the received bodies."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Keep(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.server.bodies.append(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join(WAIT_SECONDS)


def test_a_request_is_a_span_with_spans_of_its_parts(
    serve: Serve, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra 'tracing' is not installed")
    pytest.importorskip("opentelemetry.proto", reason="the extra 'tracing' is not installed")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    service = serve(root_path="/apps")
    headers = {"Content-Type": "image/png", "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
    assert service.client.post("/predict", content=plain("red"), headers=headers).status_code == 200
    for probe in ("/health/ready", "/apps/health/ready"):
        assert service.client.get(probe).status_code == 200
    end = service.client.__exit__
    end(None, None, None)

    resources = [
        resource
        for body in collector.bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
    ]
    spans = {
        span.name: span
        for resource in resources
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert set(spans) == {"POST /predict", "decode", "queue", "inference"}
    request = spans["POST /predict"]
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
    parts = [spans[name] for name in ("decode", "queue", "inference")]
    assert all(part.parent_span_id == request.span_id for part in parts)
    decode, queue, inference = parts
    assert decode.end_time_unix_nano == queue.start_time_unix_nano
    assert queue.end_time_unix_nano == inference.start_time_unix_nano
    millisecond = 1_000_000
    assert request.start_time_unix_nano <= decode.start_time_unix_nano + millisecond
    assert inference.end_time_unix_nano <= request.end_time_unix_nano + millisecond
    names = {one.key: one.value.string_value for one in resources[0].resource.attributes}
    assert names["service.name"] == "resnet-server"


def test_a_header_that_is_none_of_traces_is_not_logged(
    serve: Serve, collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """All of it, each time, and without the limits of this service's own log."""
    pytest.importorskip("opentelemetry.sdk", reason="the extra 'tracing' is not installed")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    service = serve()
    headers = {
        "baggage": "evil" * 2000 + ",evil",
        "tracestate": "evil",
        "traceparent": "evil" * 200,
    }
    assert service.client.get("/models", headers=headers).status_code == 200
    assert "evil" not in caplog.text


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "resnet"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
    ],
)
def test_which_variables_turn_it_on(environment: dict[str, str], wanted: bool) -> None:
    assert tracing.wanted(environment) is wanted


def test_otherwise_the_sdk_is_not_imported() -> None:
    loaded = modules_after(
        "from service.http.app import create_app\n"
        "from service.settings import Settings\n"
        "create_app(Settings())"
    )
    assert "service.observability.tracing" in loaded
    assert not [
        name for name in loaded if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))
    ]
