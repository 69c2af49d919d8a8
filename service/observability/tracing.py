"""OpenTelemetry traces, where the environment asks for them: a span a request, and its parts.

Nothing of OpenTelemetry's SDK is imported otherwise.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from fastapi.telemetry import TelemetryConfig

from service.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

# Any of them, not empty, turns traces on.
VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)
SERVICE_NAME = "resnet-server"
NANOSECONDS = 1_000_000_000


class TracingUnavailable(Exception):
    """The environment asks for traces, and what makes them is not installed or not known."""


class Timing(Protocol):
    """Where one image's time went, in seconds; `finished` on the clock of `time.monotonic`."""

    @property
    def decode_seconds(self) -> float: ...

    @property
    def queue_seconds(self) -> float: ...

    @property
    def inference_seconds(self) -> float: ...

    @property
    def finished(self) -> float: ...


class Spans:
    """The parts of a request, as spans within the request's."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def record(self, timings: Iterable[Timing]) -> None:
        """Of each image: decode, queue, inference. Called within the request's span."""
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
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return environment.get("OTEL_TRACES_EXPORTER") != "none" and any(
        environment.get(name) for name in VARIABLES
    )


class Tracing:
    """What FastAPI is to be told of telemetry, and the spans within a request's.

    Off unless the environment asks for it; then `spans` is None. Raises TracingUnavailable.
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
                f"OTEL_ variables ask for traces, and {error}. Install the extra 'tracing', or set "
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
        """Sends what was not sent yet, for as long as the exporter waits."""
        if self._provider is not None:
            self._provider.shutdown()


def _provider() -> TracerProvider:
    """Reads the usual variables: the exporter's, OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ..."""
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
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, where they are set, go before this.
    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or SERVICE_NAME}
    resource = Resource.create({**named, "service.version": __version__})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
