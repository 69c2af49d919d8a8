"""OpenTelemetry traces where OTEL_ variables turn them on: a span for each request and its parts.

Otherwise OpenTelemetry's SDK is not imported.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fastapi.telemetry import TelemetryConfig

from service.observability.timing import Timing
from service.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

# Each of them, if it is not empty, turns traces on.
VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)
SERVICE_NAME = "resnet-server"
NANOSECONDS = 1_000_000_000


class TracingUnavailable(Exception):
    """Traces are turned on, and the SDK is not installed or the exporter is not supported."""


class Spans:
    """Records the parts of a request as children of the request's span."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def call(self, name: str, carrier: Mapping[str, str]) -> Iterator[None]:
        """A request's span around what is done meanwhile, of a protocol without its own telemetry.

        carrier: the request's metadata, which may name the client's span.
        """
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        parent = extract(dict(carrier))
        with self._tracer.start_as_current_span(name, context=parent, kind=SpanKind.SERVER):
            yield

    def record(self, timings: Iterable[Timing]) -> None:
        """Three spans for each image: decode, queue, inference. Call it in the request's span."""
        to_wall = time.time() - time.monotonic()
        for timing in timings:
            end = timing.finished + to_wall
            inference = end - timing.inference_seconds
            queue = inference - timing.queue_seconds
            decode = queue - timing.decode_seconds
            for name, begins, ends in (
                ("decode", decode, queue),
                ("queue", queue, inference),
                ("inference", inference, end),
            ):
                span = self._tracer.start_span(name, start_time=int(begins * NANOSECONDS))
                span.end(int(ends * NANOSECONDS))


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment turns traces on."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return environment.get("OTEL_TRACES_EXPORTER") != "none" and any(
        environment.get(name) for name in VARIABLES
    )


class Tracing:
    """FastAPI's telemetry configuration, and the spans within a request's.

    `spans` is None unless the environment turns traces on. Raises TracingUnavailable.
    """

    def __init__(self, untraced: Callable[[Mapping[str, Any]], bool] = lambda _: False) -> None:
        """untraced: tells by an HTTP request's ASGI scope, before anything of it is parsed."""
        self.spans: Spans | None = None
        self.fastapi: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
        self._provider: TracerProvider | None = None
        if not wanted():
            return
        try:
            self._provider = _provider()
        except ImportError as error:
            raise TracingUnavailable(
                f"OTEL_ variables turn traces on, and {error}. Install the extra 'tracing', or set "
                "OTEL_TRACES_EXPORTER=none."
            ) from error
        # They warn of a header that is not as it should be, and write the whole of it to the log.
        for name in ("opentelemetry.baggage", "opentelemetry.trace"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self.spans = Spans(self._provider.get_tracer(SERVICE_NAME, __version__))
        self.fastapi |= {
            "tracing": True,
            "tracer_provider": self._provider,
            "operation_spans": False,
            "exclude": lambda scope: scope["type"] == "http" and untraced(scope),
        }

    def close(self) -> None:
        """Sends the remaining spans; blocks up to the exporter's timeout."""
        if self._provider is not None:
            self._provider.shutdown()


def _provider() -> TracerProvider:
    """The SDK reads its own variables: the exporter's, OTEL_TRACES_SAMPLER and others."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    if (exporter, protocol) != ("otlp", "http/protobuf"):
        raise TracingUnavailable(
            "Traces are sent by OTLP over HTTP. Received: OTEL_TRACES_EXPORTER="
            f"{exporter}, OTEL_EXPORTER_OTLP_PROTOCOL={protocol}"
        )
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence where they are set.
    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or SERVICE_NAME}
    resource = Resource.create({**named, "service.version": __version__})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
