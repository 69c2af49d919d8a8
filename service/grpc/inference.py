"""A message's way to its results, for both tensor protocols over gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from service.auth.access import Access
from service.errors import InvalidParameter, MalformedRequest, ModelNotFound
from service.grpc.call import Call, Message
from service.grpc.wire import packed_bytes
from service.inference.model import Model
from service.inference.repository import Entry
from service.inference.request import InferenceRequest, InferenceResult, RequestDeadline, RowResult
from service.inference.runtime import Runtime
from service.observability.logging import bind_log_fields
from service.observability.tracing import Spans
from service.protocols.asked import Asked
from service.protocols.pixel_arrays import CHANNELS, pixels_of
from service.protocols.tensor_rows import Row
from service.protocols.timing import durations_ms, server_timing

RELEASED = memoryview(b"")
SERVER_TIMING = "server-timing"
# Packed integers of more bytes are unpacked in a thread, which lets the event loop run meanwhile.
QUICK_BYTES = 256 * 1024

# What a message asks of a model; its rows are views of the message.
Ask = Callable[[Model], Awaitable[Asked]]


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """What every call of inference shares."""

    runtime: Runtime
    access: Access
    spans: Spans | None = None

    @property
    def max_images(self) -> int:
        return self.runtime.settings.limits.max_files

    def model(self, name: str, version: str | None, not_found: ModelNotFound) -> Model:
        """Raises ModelNotReady, or `not_found` for a model that is not served."""
        try:
            return self.runtime.service.model(name, version)
        except ModelNotFound:
            raise not_found from None

    def entry(self, name: str, version: str | None, not_found: ModelNotFound) -> Entry:
        """The model in any state. Raises `not_found` for one that is not served."""
        try:
            return self.runtime.repository.entry(name, version)
        except ModelNotFound:
            raise not_found from None

    def check_room(self, call: Call) -> None:
        """Before a message is received, a refusal costs next to nothing.

        The message names the model: with several it is refused where none has room. Raises
        Unavailable or DeadlineExceeded.
        """
        deadline = self._deadline(call).at(call.started)
        self.runtime.check_any_room(deadline=deadline, client=call.client)

    async def infer(
        self,
        call: Call,
        message: Message,
        ask: Ask,
        *,
        name: str,
        version: str | None,
        not_found: ModelNotFound,
    ) -> InferenceResult:
        """Releases the message once its images are decoded. Raises ServiceError."""
        started = time.monotonic()
        deadline = self._deadline(call)
        model = self.model(name, version, not_found)
        bind_log_fields(model=model.name)
        asked = await ask(model)
        rows = asked.rows
        bind_log_fields(images=len(rows))
        if self.access.limit is not None:
            self.access.limit.take_for_images(call.client, len(rows))

        def release() -> None:
            # In its place: the request that is being inferred has the same list.
            rows[:] = [RELEASED] * len(rows)
            message.release()

        pixels = isinstance(rows[0], np.ndarray)
        timeouts = [one for one in (call.timeout_ms, asked.timeout_ms) if one is not None]
        server_timeout = self.runtime.settings.http.request_timeout_seconds
        deadline = RequestDeadline(started, min(timeouts, default=None), server_timeout)
        result = await self.runtime.service.infer(
            InferenceRequest(
                rows,
                deadline.at(time.monotonic()),
                outputs=asked.outputs,
                map_classes=asked.map_classes,
                model=name,
                version=version,
                priority=asked.priority,
                client=call.client,
                # Pixels are views of the message until they are in a batch.
                on_decoded=(lambda: None) if pixels else release,
            )
        )
        self._record(result, call, started)
        return result

    def _record(self, result: InferenceResult, call: Call, started: float) -> None:
        if self.spans is not None:
            self.spans.record([row.timing for row in result.rows if isinstance(row, RowResult)])
        durations = durations_ms(result, started)
        bind_log_fields(timing_ms=durations)
        call.trailers = [one for one in call.trailers if one[0] != SERVER_TIMING]
        call.trailers.append((SERVER_TIMING, server_timing(durations)))

    def _deadline(self, call: Call) -> RequestDeadline:
        server_timeout = self.runtime.settings.http.request_timeout_seconds
        return RequestDeadline(time.monotonic(), call.timeout_ms, server_timeout)


def check_elements(elements: list[memoryview], count: int, name: str) -> list[Row]:
    """The elements of a tensor with that many by its shape. Raises MalformedRequest."""
    if len(elements) != count:
        raise MalformedRequest(
            f"expected {count} string elements for inference input '{name}', got {len(elements)}"
        )
    return list(elements)


async def unpacked_pixels(contents: list[memoryview], count: int, size: int) -> list[Row]:
    """Pixels of a packed repeated field. Raises InvalidParameter or MalformedRequest."""
    if len(contents) != 1:
        raise InvalidParameter("Pixels are integers in one packed field.")
    (data,) = contents
    # Each takes one byte or two.
    if not 1 <= len(data) / (count * size * size * CHANNELS) <= 2:
        raise MalformedRequest(
            f"{count} x {size} x {size} x {CHANNELS} pixels are as many integers. "
            f"Received: {len(data)} bytes"
        )
    if len(data) <= QUICK_BYTES:
        pixels = packed_bytes(data)
    else:
        pixels = await asyncio.to_thread(packed_bytes, data)
    return list(pixels_of(pixels.data, count, size))
