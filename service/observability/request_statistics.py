"""How many requests a model had, and where their time went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.observability.timing import Timing


@dataclass(slots=True)
class Durations:
    """How many, and their seconds together."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds


@dataclass(slots=True)
class RequestStatistics:
    """Of one model since it was loaded, in Triton's terms. For one event loop.

    images: of the requests that succeeded. last_ms: when the last request began, in milliseconds
    since 1970; 0 without any. success, fail: whole requests, from their images to their outputs; a
    request with an image that has no result failed. The others are phases of those that
    succeeded, each of the row that was done last: together no longer than their requests.
    """

    images: int = 0
    last_ms: int = 0
    success: Durations = field(default_factory=Durations)
    fail: Durations = field(default_factory=Durations)
    decode: Durations = field(default_factory=Durations)
    queue: Durations = field(default_factory=Durations)
    inference: Durations = field(default_factory=Durations)
    outputs: Durations = field(default_factory=Durations)

    @contextmanager
    def request(self, images: int) -> Iterator[list[Timing]]:
        """Around one request. Gives the list in which it puts the timings of its rows."""
        self.last_ms = int(time.time() * 1000)
        started = time.monotonic()
        timings: list[Timing] = []
        try:
            yield timings
        finally:
            ended = time.monotonic()
            if timings and len(timings) == images:
                last = max(timings, key=lambda one: one.finished)
                self._record_success(images, last, started, ended)
            else:
                self.fail.add(ended - started)

    def _record_success(self, images: int, last: Timing, started: float, ended: float) -> None:
        self.images += images
        self.success.add(ended - started)
        self.decode.add(last.decode_seconds)
        self.queue.add(last.queue_seconds)
        self.inference.add(last.inference_seconds)
        self.outputs.add(ended - last.finished)
