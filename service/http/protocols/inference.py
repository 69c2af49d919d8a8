"""A request's way from its body to its results, for every tensor protocol over HTTP."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from fastapi import Depends, Request

from service.auth.rate_limit import RateLimit
from service.errors import InvalidParameter, ModelNotFound
from service.http.auth.client import client_of
from service.http.dependencies import BodiesDep, RateLimitDep, RuntimeDep, SpansDep
from service.http.headers import REQUEST_TIMEOUT_MS
from service.http.request.body import RELEASED, Bodies
from service.http.request.disconnect import disconnected
from service.http.request.payload import read_payload
from service.http.request.timing import record_timing, server_timing
from service.inference.disconnect import cancel_on_disconnect
from service.inference.model import Model
from service.inference.request import InferenceRequest, InferenceResult, RequestDeadline
from service.inference.runtime import Runtime
from service.observability.logging import bind_log_fields
from service.observability.tracing import Spans
from service.protocols.asked import Asked
from service.protocols.tensor_rows import ImageBuffer


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """server_timing: the value of that header."""

    result: InferenceResult
    server_timing: str


# Reads a body. Decoded base64 goes into the buffer.
Parse = Callable[[memoryview, Model, ImageBuffer], Awaitable[Asked]]
# Of a body that names the model itself.
ParseNamed = Callable[[memoryview, ImageBuffer], Awaitable[Asked]]


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """One request, and what it is answered with."""

    request: Request
    runtime: Runtime
    bodies: Bodies
    spans: Spans | None
    rate_limit: RateLimit | None

    @property
    def max_images(self) -> int:
        return self.runtime.settings.limits.max_files

    def check_room(self, name: str | None) -> None:
        """That the model has room, before its images are decoded from text.

        Raises ModelNotFound, Unavailable or DeadlineExceeded.
        """
        client = client_of(self.request.scope)
        deadline = self._deadline(time.monotonic())
        self.runtime.service.check_room(name, deadline=deadline, client=client)

    async def infer(
        self, name: str, version: str | None, parse: Parse, not_found: ModelNotFound
    ) -> Answered:
        """not_found: what is raised for a model that is not served.

        Raises ServiceError, Disconnected, and starlette's ClientDisconnect.
        """
        started = time.monotonic()
        # Before the body is read, a refusal costs next to nothing.
        client = client_of(self.request.scope)
        try:
            model = self.runtime.service.check_room(
                name, version=version, deadline=self._deadline(started), client=client
            )
        except ModelNotFound:
            raise not_found from None
        bind_log_fields(model=model.name)

        async def ask(raw: memoryview, buffer: ImageBuffer) -> Asked:
            return replace(await parse(raw, model, buffer), model=name, version=version)

        return await self._infer(ask, client, started)

    async def infer_named_in_body(self, parse: ParseNamed) -> Answered:
        """The body names the model. Raises what `infer` raises."""
        started = time.monotonic()
        client = client_of(self.request.scope)
        if not self.runtime.repository.models:
            # Says why there is none.
            self.runtime.service.model()
        self.runtime.check_any_room(deadline=self._deadline(started), client=client)
        return await self._infer(parse, client, started)

    def _deadline(self, started: float) -> float:
        timeout_seconds = self.runtime.settings.http.request_timeout_seconds
        return RequestDeadline(started, timeout_of(self.request), timeout_seconds).at(started)

    async def _infer(self, parse: ParseNamed, client: str, started: float) -> Answered:
        settings, service = self.runtime.settings, self.runtime.service
        header_ms = timeout_of(self.request)
        with self.bodies.open(client) as payload, self.bodies.open(client) as decoded:
            raw = await read_payload(self.request, payload, settings)
            decoded.expect(len(raw), 0)
            asked = await parse(raw, decoded)
            bind_log_fields(model=service.model(asked.model, asked.version).name)
            del raw
            rows = asked.rows
            bind_log_fields(images=len(rows))
            if self.rate_limit is not None:
                self.rate_limit.take_for_images(client, len(rows))
            if decoded.images:
                payload.release()

            def release() -> None:
                # In its place: the request that is being inferred has the same list.
                rows[:] = [RELEASED] * len(rows)
                decoded.release()
                payload.release()

            pixels = isinstance(rows[0], np.ndarray)
            timeouts = [one for one in (header_ms, asked.timeout_ms) if one is not None]
            server_timeout = settings.http.request_timeout_seconds
            deadline = RequestDeadline(started, min(timeouts, default=None), server_timeout)
            work = service.infer(
                InferenceRequest(
                    rows,
                    deadline.at(time.monotonic()),
                    outputs=asked.outputs,
                    map_classes=asked.map_classes,
                    model=asked.model,
                    version=asked.version,
                    priority=asked.priority,
                    client=client,
                    # Pixels are views of the body until they are in a batch.
                    on_decoded=(lambda: None) if pixels else release,
                )
            )
            result = await cancel_on_disconnect(disconnected(self.request.receive), work)
        return Answered(result, server_timing(record_timing(result, started, self.spans)))


def timeout_of(request: Request) -> float | None:
    """Of the header, in milliseconds; None without one. Raises InvalidParameter."""
    text = request.headers.get(REQUEST_TIMEOUT_MS)
    if text is None:
        return None
    try:
        timeout_ms = float(text)
    except ValueError:
        timeout_ms = 0
    if not 0 < timeout_ms < float("inf"):
        raise InvalidParameter(
            f"{REQUEST_TIMEOUT_MS} is a number of milliseconds above 0. Received: {text[:100]!r}"
        )
    return timeout_ms


async def _exchange(
    request: Request,
    runtime: RuntimeDep,
    bodies: BodiesDep,
    spans: SpansDep,
    rate_limit: RateLimitDep,
) -> Exchange:
    return Exchange(request, runtime, bodies, spans, rate_limit)


ExchangeDep = Annotated[Exchange, Depends(_exchange)]
