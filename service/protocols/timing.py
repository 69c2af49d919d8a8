"""Where a request's time went."""

from __future__ import annotations

import time

from service.inference.request import InferenceResult, RowResult


def durations_ms(result: InferenceResult, started: float) -> dict[str, float]:
    """Milliseconds to decode, in the queue and on the device, of the slowest row; and in total.

    started: when the request arrived, on the clock of `time.monotonic`.
    """
    timings = [row.timing for row in result.rows if isinstance(row, RowResult)]
    seconds = {
        "decode": max((one.decode_seconds for one in timings), default=0.0),
        "queue": max((one.queue_seconds for one in timings), default=0.0),
        "inference": max((one.inference_seconds for one in timings), default=0.0),
        "total": time.monotonic() - started,
    }
    return {name: round(value * 1000, 2) for name, value in seconds.items()}


def server_timing(durations: dict[str, float]) -> str:
    """The value of the Server-Timing header or metadata."""
    return ", ".join(f"{part};dur={duration}" for part, duration in durations.items())
