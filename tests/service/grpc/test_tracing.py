"""A call's spans, in the trace of its client."""

from __future__ import annotations

import pytest

from tests.service.conftest import Serve
from tests.service.grpc.client import INFER, client_of, infer_request
from tests.service.images import plain

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_call_is_a_span_with_spans_of_its_parts(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra 'tracing' is not installed")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("service.observability.tracing.wanted", lambda: True)
    monkeypatch.setattr("service.observability.tracing._provider", lambda: provider)
    service = serve(grpc_port=0)
    with client_of(service, traceparent=f"00-{TRACE_ID}-00f067aa0ba902b7-01") as client:
        client.call(INFER, infer_request(plain("red")))
    spans = {one.name: one for one in exporter.get_finished_spans()}
    assert {*spans} == {INFER, "decode", "queue", "inference"}
    call = spans[INFER]
    assert call.parent is not None
    assert format(call.context.trace_id, "032x") == TRACE_ID
    for name in ("decode", "queue", "inference"):
        assert spans[name].parent.span_id == call.context.span_id
