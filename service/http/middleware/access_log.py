"""Around every request: its id, its metrics, a log line, and an answer where there is none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import FAULT
from service.http.headers import REQUEST_ID
from service.http.paths import MONITORING
from service.http.problem_details import respond_on
from service.http.request.request_id import identifier_of
from service.observability.logging import log_context, request_id
from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)


class AccessLogMiddleware:
    """ASGI middleware.

    draining: whether the process is about to end. Clients are then asked to leave the connection,
    so that none is in use when it is closed.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, draining: Callable[[], bool] = lambda: False
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = identifier_of(Headers(scope=scope))
        token = request_id.set(identifier)
        started = time.monotonic()
        status = request_bytes = response_bytes = 0

        async def receive_counted() -> Message:
            nonlocal request_bytes
            message = await receive()
            request_bytes += len(message.get("body", b""))
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status, response_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = identifier
                if self._draining():
                    headers["Connection"] = "close"
            response_bytes += len(message.get("body", b""))
            await send(message)

        with log_context() as facts:
            try:
                await self._app(scope, receive_counted, send_with_id)
            except Exception:
                logger.exception("An error that nothing caught")
                if status:
                    # The answer is half sent: all that is left is to break it off.
                    raise
                response = respond_on(scope["path"], 500, "internal_error", FAULT)
                await response(scope, receive, send_with_id)
            finally:
                facts |= {"request_bytes": request_bytes, "response_bytes": response_bytes}
                self._record(scope, status, time.monotonic() - started, facts)
                request_id.reset(token)

    def _record(
        self, scope: Scope, status: int, seconds: float, facts: Mapping[str, object]
    ) -> None:
        """A status of 0 says that the request was cut off before its answer."""
        found = scope.get("route")
        route = getattr(found, "path", "unmatched" if status == 404 else "other")
        method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        logger.log(
            logging.DEBUG if route in MONITORING else logging.INFO,
            "%s %s %d",
            method,
            route,
            status,
            extra={"duration_ms": round(seconds * 1000, 1), "status": status, **facts},
        )
