"""Where a request's time went: in its answer, its trace and its line of the log."""

from __future__ import annotations

import time
from collections.abc import Sequence

from service.http.schemas import Timing
from service.inference.request import InferenceResult, RowResult, RowTiming
from service.observability.logging import bind_log_fields
from service.observability.tracing import Spans


def record_timing(result: InferenceResult, started: float, spans: Spans | None) -> Timing:
    """started: when the request arrived, on the clock of `time.monotonic`."""
    timings = [row.timing for row in result.rows if isinstance(row, RowResult)]
    if spans is not None:
        spans.record(timings)
    timing = _timing(timings, time.monotonic() - started)
    bind_log_fields(timing_ms=timing.model_dump())
    return timing


def server_timing(timing: Timing) -> str:
    """The value of the Server-Timing header."""
    return ", ".join(f"{part};dur={duration}" for part, duration in timing.model_dump().items())


def _timing(timings: Sequence[RowTiming], total_seconds: float) -> Timing:
    def milliseconds(seconds: float) -> float:
        return round(seconds * 1000, 2)

    return Timing(
        decode=milliseconds(max((one.decode_seconds for one in timings), default=0)),
        queue=milliseconds(max((one.queue_seconds for one in timings), default=0)),
        inference=milliseconds(max((one.inference_seconds for one in timings), default=0)),
        total=milliseconds(total_seconds),
    )
