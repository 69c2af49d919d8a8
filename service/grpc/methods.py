"""Around every call: its key and rate, its errors, its metrics and its line of the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc

from service.auth.access import Access
from service.auth.trusted_proxies import TrustedProxies
from service.errors import FAULT, QueueFull, ServiceError
from service.fairness.shared_limit import SharedLimit
from service.grpc.arrivals import Arrivals
from service.grpc.call import Call
from service.grpc.errors import retry_metadata, status_of, text_of
from service.inference.runtime import Runtime
from service.observability.logging import bind_log_fields, log_context, request_id
from service.observability.tracing import Spans

logger = logging.getLogger(__name__)

# Handles a call. Returns the answer; None where the call is a stream that was answered.
Handler = Callable[[Call], Awaitable[bytes | None]]


@dataclass(frozen=True, slots=True)
class Method:
    """One of a service's methods.

    stream: whether any number of messages is answered. monitoring: polled by balancers: without a
    key, not traced, and logged at the level "debug".
    """

    service: str
    name: str
    handle: Handler
    stream: bool = False
    monitoring: bool = False

    @property
    def path(self) -> str:
        return f"{self.service}/{self.name}"


class Methods:
    """What grpc.aio calls. calls: open at once, shared between clients."""

    def __init__(
        self,
        runtime: Runtime,
        access: Access,
        arrivals: Arrivals,
        spans: Spans | None = None,
        *,
        calls: int,
    ) -> None:
        self._runtime = runtime
        self._access = access
        self._arrivals = arrivals
        self._spans = spans
        self._calls = SharedLimit(calls)
        self._proxies = TrustedProxies(runtime.settings.security.trusted_proxies)

    def handlers(self, methods: Iterable[Method]) -> Iterator[grpc.GenericRpcHandler]:
        """For grpc.aio.Server. A method receives its messages itself: none is read before."""
        by_service: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
        for method in methods:
            make = (
                grpc.stream_stream_rpc_method_handler
                if method.stream
                else grpc.stream_unary_rpc_method_handler
            )
            by_service.setdefault(method.service, {})[method.name] = make(self._behavior(method))
        for service, named in by_service.items():
            yield grpc.method_handlers_generic_handler(service, named)

    def _behavior(self, method: Method) -> Callable[[Any, Any], Awaitable[bytes | None]]:
        async def behavior(_messages: Any, context: Any) -> bytes | None:
            call = Call(
                context,
                self._arrivals,
                self._runtime.service.budget,
                self._proxies,
                arrival_seconds=self._runtime.settings.http.request_timeout_seconds,
            )
            token = request_id.set(call.request_id)
            try:
                with log_context() as facts:
                    return await self._serve(method, call, context, facts)
            finally:
                request_id.reset(token)

        return behavior

    async def _serve(
        self, method: Method, call: Call, context: Any, facts: dict[str, object]
    ) -> bytes | None:
        status = grpc.StatusCode.OK
        text = ""
        try:
            with self._open(method, call), self._span(method, call):
                answer = await method.handle(call)
            call.response_bytes += len(answer or b"")
            return answer
        except ServiceError as error:
            self._runtime.metrics.rejections.labels(error.reason).inc()
            bind_log_fields(code=error.code)
            status, text = status_of(error), text_of(error)
            call.trailers += retry_metadata(error)
        except asyncio.CancelledError:
            self._runtime.metrics.rejections.labels("cancelled").inc()
            late = call.timeout_ms == 0
            status = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        except Exception:
            logger.exception("An error that nothing caught")
            status, text = grpc.StatusCode.INTERNAL, FAULT
        finally:
            context.set_trailing_metadata(tuple(call.trailers))
            self._record(method, call, status, facts)
        await context.abort(status, text, tuple(call.trailers))
        return None

    @contextmanager
    def _open(self, method: Method, call: Call) -> Iterator[None]:
        """While the call is open. Raises what refuses it before any message is read."""
        if not method.monitoring:
            identify = self._access.identify if method.stream else self._access.admit
            call.client = identify(call.key, call.address)
        client = call.client
        # Its health is told to everybody; gRPC's own limit on calls is higher.
        counted = 0 if method.monitoring and not method.stream else 1
        if not self._calls.take(client, counted):
            raise QueueFull("This client has as many calls open as it may.")
        try:
            yield
        finally:
            self._calls.release(client, counted)

    def _span(self, method: Method, call: Call) -> AbstractContextManager[None]:
        if self._spans is None or method.monitoring:
            return nullcontext()
        return self._spans.call(method.path, call.metadata)

    def _record(
        self, method: Method, call: Call, status: grpc.StatusCode, facts: dict[str, object]
    ) -> None:
        seconds = time.monotonic() - call.started
        metrics = self._runtime.metrics
        metrics.grpc_requests.labels(method.path, status.name).inc()
        metrics.grpc_request_seconds.labels(method.path).observe(seconds)
        logger.log(
            logging.DEBUG if method.monitoring else logging.INFO,
            "%s %s",
            method.path,
            status.name,
            extra={
                "duration_ms": round(seconds * 1000, 1),
                "grpc_status": status.name,
                "request_bytes": call.request_bytes,
                "response_bytes": call.response_bytes,
                **facts,
            },
        )
