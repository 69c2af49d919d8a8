"""Where a request's time went: in its answer, its trace and its line of the log."""

from __future__ import annotations

from service.fairness.paced import credit_images
from service.http.schemas import Timing
from service.inference.request import InferenceResult, RowResult
from service.observability.logging import bind_log_fields
from service.observability.tracing import Spans
from service.protocols import timing


def record_timing(result: InferenceResult, started: float, spans: Spans | None) -> Timing:
    """started: when the request arrived, on the clock of `time.monotonic`."""
    inferred = [row.timing for row in result.rows if isinstance(row, RowResult)]
    credit_images(len(inferred))
    if spans is not None:
        spans.record(inferred)
    durations = timing.durations_ms(result, started)
    bind_log_fields(timing_ms=durations)
    return Timing(**durations)


def server_timing(durations: Timing) -> str:
    """The value of the Server-Timing header."""
    return timing.server_timing(durations.model_dump())
