"""Refuses an image that there is no room for, before its body is read and before any routing."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.api_keys import ApiKeys
from service.auth.token_bucket import TokenBucket
from service.errors import Overloaded, QueueFull, ServiceError, Unavailable
from service.http import headers as names
from service.http.auth.client import client_before_auth
from service.http.middleware.header_limits import MAX_TARGET_BYTES
from service.http.middleware.trusted_proxies import FROM_TRUSTED_PROXY
from service.http.paths import InferenceTarget, inference_target
from service.http.problem_details import MEDIA_TYPE, ErrorText, status_on
from service.http.protocols.errors import MEDIA_TYPE as TENSOR_MEDIA_TYPE
from service.inference.request import RequestDeadline
from service.inference.runtime import Runtime
from service.observability.logging import request_id
from service.observability.metrics import Metrics
from service.observability.request_id import acceptable_id

logger = logging.getLogger(__name__)

CONTENT_LENGTH, CONTENT_ENCODING = b"content-length", b"content-encoding"
# More have no meaning, and a number of many digits takes long to read.
MAX_LENGTH_DIGITS = 20
# As they are on the wire.
ACCEL_REDIRECT, ACCEL_REFUSAL, REFUSAL, REQUEST_ID, RETRY_AFTER, TIMEOUT_MS = (
    name.lower().encode()
    for name in (
        names.ACCEL_REDIRECT,
        names.ACCEL_REFUSAL,
        names.REFUSAL,
        names.REQUEST_ID,
        names.RETRY_AFTER,
        names.REQUEST_TIMEOUT_MS,
    )
)
# nginx repeats what gets 503 at another replica, and can select by nothing but the status. A
# refusal that it need not repeat is a redirect to its own location, the refusal in a header. There
# is a location for each media type of a refusal.
NGINX_LOCATIONS = {MEDIA_TYPE: b"@refused", TENSOR_MEDIA_TYPE: b"@refused_tensor"}
# A line in the log costs CPU time that inference needs: one for many refusals.
LOG_INTERVAL_SECONDS = 10.0


class LoadSheddingMiddleware:
    """The outermost middleware, pure ASGI: under overload most requests end here.

    What it can't decide it lets through: the route checks everything again. It runs before keys are
    checked, and looks a key up only to know whose share to compare: a request without a good one is
    refused only where any client's would be.
    """

    def __init__(
        self, app: ASGIApp, *, runtime: Runtime, metrics: Metrics, keys: ApiKeys | None
    ) -> None:
        self._app = app
        self._runtime = runtime
        self._metrics = metrics
        self._timeout_seconds = runtime.settings.http.request_timeout_seconds
        self._max_body_bytes = runtime.settings.limits.max_body_bytes
        self._keys = keys
        self._budget = RetryBudget()
        self._refusals: dict[tuple[str, type[Unavailable], str], _Refusal] = {}
        self._refused = 0
        self._logged = -math.inf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        target = self._target(scope)
        error = None if target is None else self._error(scope, target, started)
        if target is None or error is None:
            await self._app(scope, receive, send)
            return
        status, headers, body = self._refusal(error, scope, target, started)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _target(self, scope: Scope) -> InferenceTarget | None:
        """What an image is sent to; None where none is, or where that can't be told from here."""
        if (
            scope["type"] != "http"
            or scope["method"] != "POST"
            or self._runtime.repository.draining
            or len(scope["path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES
        ):
            return None
        try:
            return inference_target(scope["path"], scope["query_string"])
        except (ValueError, KeyError):
            return None

    def _error(self, scope: Scope, target: InferenceTarget, now: float) -> Unavailable | None:
        """Why there is no room; None where there is, or where that can't be told from here."""
        try:
            # The first of each name. No loop: there may be thousands.
            given = dict(reversed(scope["headers"]))
            timeout_ms = float(given[TIMEOUT_MS]) if TIMEOUT_MS in given else None
            deadline = RequestDeadline(now, timeout_ms, self._timeout_seconds).at(now)
            client = client_before_auth(scope, self._keys)
            body_bytes = _body_bytes(given)
            if target.in_body:
                self._runtime.check_any_room(
                    deadline=deadline, client=client, body_bytes=body_bytes
                )
            else:
                self._runtime.service.check_room(
                    target.model,
                    version=target.version,
                    deadline=deadline,
                    client=client,
                    body_bytes=body_bytes,
                )
            # A larger one is refused whatever room there is.
            if client is not None and body_bytes is not None and body_bytes <= self._max_body_bytes:
                self._runtime.service.budget.check(client, body_bytes)
        except Unavailable as error:
            return error
        except (ServiceError, ValueError):
            return None
        return None

    def _refusal(
        self, error: Unavailable, scope: Scope, target: InferenceTarget, started: float
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        given = dict(scope["headers"])
        identifier = acceptable_id(given.get(REQUEST_ID, b"").decode("latin-1"))
        self._log_refusal(error, identifier, started, scope)
        key = (target.route, type(error), error.reason)
        refusal = self._refusals.get(key)
        if refusal is None:
            refusal = self._refusals[key] = _Refusal(*key, self._metrics)
        refusal.count(time.monotonic() - started)
        body = refusal.body(str(error), identifier)
        headers = [
            (b"content-type", refusal.media_type),
            (RETRY_AFTER, b"%d" % (error.retry_after_seconds or 0)),
            (REQUEST_ID, identifier.encode()),
        ]
        repeats = scope.get(FROM_TRUSTED_PROXY) and ACCEL_REFUSAL in given
        if repeats and not self._budget.take(started, self._elsewhere_per_second(error)):
            headers += [
                (ACCEL_REDIRECT, refusal.nginx_location),
                (REFUSAL, body),
                (CONTENT_LENGTH, b"0"),
            ]
            return 200, headers, b""
        return refusal.status, [*headers, (CONTENT_LENGTH, b"%d" % len(body))], body

    def _elsewhere_per_second(self, error: Unavailable) -> float:
        """How many such refusals another replica might answer."""
        if isinstance(error, (Overloaded, QueueFull)):
            return sum(model.images_per_second for model in self._runtime.repository.models)
        return math.inf

    def _log_refusal(self, refusal: Unavailable, identifier: str, now: float, scope: Scope) -> None:
        self._refused += 1
        if now - self._logged >= LOG_INTERVAL_SECONDS:
            client = client_before_auth(scope, self._keys)
            extra = {"client": client} if refusal.client_share else {}
            token = request_id.set(identifier)
            logger.warning("%d refused; the last one: %s", self._refused, refusal, extra=extra)
            request_id.reset(token)
            self._refused, self._logged = 0, now


def _body_bytes(given: Mapping[bytes, bytes]) -> int | None:
    """As it is announced; None where it is not, or where that is not what comes out of it."""
    length = given.get(CONTENT_LENGTH, b"")
    if CONTENT_ENCODING in given or not length.isdigit():
        return None
    return int(length[:MAX_LENGTH_DIGITS])


class _Refusal:
    """What all refusals with one error on one route have in common, made once.

    status: of the answer. What it says is `problem_details.respond_to`'s, which takes longer.
    """

    def __init__(self, route: str, kind: type[Unavailable], reason: str, metrics: Metrics) -> None:
        self.status = status_on(route, kind)
        self._rejections = metrics.rejections.labels(reason)
        self._requests = metrics.requests.labels(route, "POST", str(self.status))
        self._seconds = metrics.request_seconds.labels(route)
        self._text = ErrorText(route, self.status, kind.code)
        self.media_type = self._text.media_type.encode()
        self.nginx_location = NGINX_LOCATIONS[self._text.media_type]

    def count(self, seconds: float) -> None:
        self._rejections.inc()
        self._requests.inc()
        self._seconds.observe(seconds)

    def body(self, detail: str, identifier: str) -> bytes:
        return self._text.of(detail, identifier)


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
