"""Refuses an image that there is no room for, before its body is read and before any routing."""

from __future__ import annotations

import logging
import math
import time
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Overloaded, QueueFull, ServiceError, Unavailable
from service.http import headers as names
from service.http.middleware.trusted_proxies import FROM_TRUSTED_PROXY
from service.http.paths import INFERENCE
from service.http.problem_details import respond_to, status_of
from service.http.request.deadline import RequestDeadline
from service.http.request.request_id import identifier_of
from service.http.token_bucket import TokenBucket
from service.inference.runtime import Runtime
from service.observability.logging import request_id
from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)

MODEL = b"model="
TIMEOUT_MS = names.REQUEST_TIMEOUT_MS.lower().encode()
CONTENT_LENGTH = b"content-length"
# nginx repeats what gets 503 at another replica, and can select by nothing but the status. A
# refusal that it need not repeat is a redirect to its own location, the refusal in a header.
NGINX_LOCATION = b"@refused"
# A line in the log costs CPU time that inference needs: one for many refusals.
LOG_INTERVAL_SECONDS = 10.0


class LoadSheddingMiddleware:
    """The outermost middleware, pure ASGI: under overload most requests end here.

    What it can't decide it lets through: the route checks everything again.
    """

    def __init__(self, app: ASGIApp, *, runtime: Runtime, metrics: Metrics) -> None:
        self._app = app
        self._runtime = runtime
        self._metrics = metrics
        self._timeout_seconds = runtime.settings.http.request_timeout_seconds
        self._budget = RetryBudget()
        self._refused = 0
        self._logged = -math.inf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["path"] not in INFERENCE
            or scope["method"] != "POST"
            or self._runtime.repository.draining
        ):
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        error = self._error(scope, started)
        if error is None:
            await self._app(scope, receive, send)
            return
        status, headers, body = self._refusal(error, scope, started)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _error(self, scope: Scope, now: float) -> Unavailable | None:
        """Why there is no room; None where there is, or where that can't be told from here."""
        query: bytes = scope["query_string"]
        try:
            name = parse_qs(query.decode("latin-1"))["model"][-1] if MODEL in query else None
            given = next((value for key, value in scope["headers"] if key == TIMEOUT_MS), None)
            timeout_ms = None if given is None else float(given)
            deadline = RequestDeadline(now, timeout_ms, self._timeout_seconds).at(now)
            self._runtime.service.check_room(name, deadline=deadline)
        except Unavailable as error:
            return error
        except (ServiceError, ValueError, KeyError):
            return None
        return None

    def _refusal(
        self, error: Unavailable, scope: Scope, started: float
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        given = Headers(scope=scope)
        identifier = identifier_of(given)
        token = request_id.set(identifier)
        try:
            response = respond_to(error, self._metrics)
            self._log_refusal(error, started)
        finally:
            request_id.reset(token)
        status = status_of(error)
        path = scope["path"]
        self._metrics.requests.labels(path, "POST", str(status)).inc()
        self._metrics.request_seconds.labels(path).observe(time.monotonic() - started)
        headers = [*response.raw_headers, (names.REQUEST_ID.lower().encode(), identifier.encode())]
        body = bytes(response.body)
        repeats = scope.get(FROM_TRUSTED_PROXY) and names.ACCEL_REFUSAL in given
        if repeats and not self._budget.take(started, self._elsewhere_per_second(error)):
            headers = [(key, value) for key, value in headers if key != CONTENT_LENGTH]
            headers += [
                (names.ACCEL_REDIRECT.lower().encode(), NGINX_LOCATION),
                (names.REFUSAL.lower().encode(), body),
                (CONTENT_LENGTH, b"0"),
            ]
            return 200, headers, b""
        return status, headers, body

    def _elsewhere_per_second(self, error: Unavailable) -> float:
        """How many such refusals another replica might answer."""
        if isinstance(error, (Overloaded, QueueFull)):
            return sum(model.images_per_second for model in self._runtime.repository.models)
        return math.inf

    def _log_refusal(self, refusal: Unavailable, now: float) -> None:
        self._refused += 1
        if now - self._logged >= LOG_INTERVAL_SECONDS:
            logger.warning("%d refused; the last one: %s", self._refused, refusal)
            self._refused, self._logged = 0, now


class RetryBudget:
    """Refusals that another replica is asked to answer: as many a second as it could.

    With more, each request of an overload would be refused by two replicas, which is twice the
    work; with none, a replica that is busy with one long request would refuse for the others.
    """

    def __init__(self) -> None:
        self._bucket: TokenBucket | None = None

    def take(self, now: float, per_second: float) -> bool:
        """Whether one more may be repeated. per_second: how many could be answered elsewhere."""
        if per_second == math.inf:
            return True
        capacity = max(1.0, per_second)
        self._bucket = self._bucket or TokenBucket(capacity, now)
        return not self._bucket.take(now, per_second=per_second, capacity=capacity)
