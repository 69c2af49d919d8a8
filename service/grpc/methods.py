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
from service.errors import FAULT, QueueFull, ServiceError, Unavailable
from service.fairness.answer_budget import AnswerBudget
from service.fairness.paced import run_paced
from service.fairness.pacing import MOST_PROBE_SECONDS, MOST_SECONDS, Pacer
from service.fairness.shared_limit import SharedLimit
from service.grpc.arrivals import Arrivals
from service.grpc.call import Call, NotTaken
from service.grpc.errors import forget_frames, retry_metadata, status_of, text_of
from service.grpc.options import MAX_MONITORING_CALLS
from service.inference.runtime import Runtime
from service.observability.logging import ThrottledLog, bind_log_fields, log_context, request_id
from service.observability.tracing import Spans

logger = logging.getLogger(__name__)

# What gRPC does for a call before and after its handler, about.
CALL_SECONDS = 200e-6

# Handles a call. Returns the answer; None where the call is a stream that was answered.
Handler = Callable[[Call], Awaitable[bytes | None]]


@dataclass(frozen=True, slots=True)
class Method:
    """One of a service's methods.

    stream: whether any number of messages is answered; those that are work take turns one by one.
    monitoring: polled by balancers: without a
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
    """What grpc.aio calls. calls: open at once, shared between clients.

    stopping: to be set when no stream is to wait for another request.
    """

    def __init__(
        self,
        runtime: Runtime,
        access: Access,
        arrivals: Arrivals,
        spans: Spans | None = None,
        *,
        pacer: Pacer,
        answers: AnswerBudget,
        calls: int,
    ) -> None:
        self._runtime = runtime
        self._access = access
        self._arrivals = arrivals
        self._spans = spans
        self._pacer = pacer
        self._answers = answers
        self._calls = SharedLimit(calls)
        self._monitoring = SharedLimit(MAX_MONITORING_CALLS)
        self.stopping = asyncio.Event()
        self._refused = ThrottledLog(logger, "%d calls refused; the last one: %s")
        self._proxies = TrustedProxies(runtime.settings.security.trusted_proxies)

    def handlers(self, methods: Iterable[Method]) -> Iterator[grpc.GenericRpcHandler]:
        """For grpc.aio.Server. A method receives and sends its messages itself: none is read before
        the call is admitted, and none waits for a client that does not take it.
        """
        by_service: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
        for method in methods:
            # On the wire one message is a stream of one.
            handler = grpc.stream_stream_rpc_method_handler(self._behavior(method))
            by_service.setdefault(method.service, {})[method.name] = handler
        for service, named in by_service.items():
            yield grpc.method_handlers_generic_handler(service, named)

    def _behavior(self, method: Method) -> Callable[[Any, Any], Awaitable[None]]:
        http = self._runtime.settings.http

        async def behavior(_messages: Any, context: Any) -> None:
            call = Call(
                context,
                self._arrivals,
                self._runtime.service.budget,
                self._answers,
                self._proxies,
                self.stopping,
                arrival_seconds=http.request_timeout_seconds,
                write_seconds=http.write_timeout_seconds,
            )
            token = request_id.set(call.request_id)
            try:
                with log_context() as facts:
                    await self._paced(method, call, context, facts)
            finally:
                request_id.reset(token)
                self._end_within(http.write_timeout_seconds)

        return behavior

    async def _paced(
        self, method: Method, call: Call, context: Any, facts: dict[str, object]
    ) -> None:
        """Requests of HTTP and calls take the same turns on the event loop; see `Method.stream`."""
        if method.stream:
            await self._serve(method, call, context, facts)
            return
        await run_paced(
            self._pacer,
            self._access.paced_client(call.key, call.address),
            lambda: self._serve(method, call, context, facts),
            most_seconds=MOST_PROBE_SECONDS if method.monitoring else MOST_SECONDS,
            other_seconds=CALL_SECONDS,
        )

    def _end_within(self, seconds: float) -> None:
        """Of a call that was answered what is left is the client's: to take it. gRPC waits for that
        in the call's task, without a limit.
        """
        task = asyncio.current_task()
        assert task is not None

        def give_up() -> None:
            self._runtime.metrics.connections_timed_out.labels("write").inc()
            task.cancel()

        timer = asyncio.get_running_loop().call_later(seconds, give_up)
        task.add_done_callback(lambda _: timer.cancel())

    async def _serve(
        self, method: Method, call: Call, context: Any, facts: dict[str, object]
    ) -> None:
        status = grpc.StatusCode.OK
        text = refusal = ""
        try:
            with self._open(method, call), self._span(method, call):
                answer = await method.handle(call)
                if answer is not None:
                    await call.send(answer)
            return
        except NotTaken:
            self._runtime.metrics.connections_timed_out.labels("write").inc()
            status = grpc.StatusCode.CANCELLED
            # gRPC sends no status then: behind what the client does not take none would reach it.
            raise asyncio.CancelledError from None
        except ServiceError as error:
            self._runtime.metrics.rejections.labels(error.reason).inc()
            bind_log_fields(code=error.code)
            status, text = status_of(error), text_of(error)
            if isinstance(error, Unavailable):
                refusal = text
            call.trailers += retry_metadata(error)
            forget_frames(error)
        except asyncio.CancelledError:
            self._runtime.metrics.rejections.labels("cancelled").inc()
            status = grpc.StatusCode.DEADLINE_EXCEEDED if call.late else grpc.StatusCode.CANCELLED
            raise
        except Exception:
            logger.exception("An error that nothing caught")
            status, text = grpc.StatusCode.INTERNAL, FAULT
        finally:
            context.set_trailing_metadata(tuple(call.trailers))
            self._record(method, call, status, facts, refusal)
        await context.abort(status, text, tuple(call.trailers))

    @contextmanager
    def _open(self, method: Method, call: Call) -> Iterator[None]:
        """While the call is open. Raises what refuses it before any message is read."""
        if not method.monitoring:
            identify = self._access.identify if method.stream else self._access.admit
            call.client = identify(call.key, call.address)
        client = call.client
        calls = self._monitoring if method.monitoring else self._calls
        if not calls.take(client, 1):
            raise QueueFull("This client has as many calls open as it may.")
        try:
            yield
        finally:
            calls.release(client, 1)

    def _span(self, method: Method, call: Call) -> AbstractContextManager[None]:
        if self._spans is None or method.monitoring:
            return nullcontext()
        return self._spans.call(method.path, call.metadata)

    def _record(
        self,
        method: Method,
        call: Call,
        status: grpc.StatusCode,
        facts: dict[str, object],
        refusal: str,
    ) -> None:
        """refusal: why there is no room, of which one line stands for many."""
        seconds = time.monotonic() - call.started
        metrics = self._runtime.metrics
        metrics.grpc_requests.labels(method.path, status.name).inc()
        metrics.grpc_request_seconds.labels(method.path).observe(seconds)
        if refusal:
            self._refused.warning(refusal)
            return
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
