"""Refuses what there is no room for before it is a request: under overload that is most of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import Scope

from service.errors import Overloaded, QueueFull, ServiceError, Unavailable
from service.http.problem_details import respond_to
from service.http.request_id import HEADER, identifier_of
from service.inference.repository import ModelRepository
from service.observability.logging import request_id
from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)

PATH, METHOD = "/predict", "POST"
OK, UNAVAILABLE = b"200 OK", b"503 Service Unavailable"
# deploy/nginx.conf sends the first with every request. It repeats elsewhere what gets 503, and can
# choose by nothing but the status: a refusal that it need not repeat is a redirect to a place of
# its own, with what to say there in a header.
BALANCER, SAID_BY_BALANCER, REFUSAL = "X-Accel-Refusal", b"@refused", b"x-refusal"
# A refusal costs the CPUs that compute: no line of the log each, but one in so long.
LOG_INTERVAL_SECONDS = 10.0


class LoadShedding:
    """Asked by a connection once it has a request's header.

    What it can't tell it lets through: the route checks everything again.
    """

    def __init__(
        self, registry: ModelRepository, metrics: Metrics, request_timeout_seconds: float
    ) -> None:
        self._registry = registry
        self._request_timeout_seconds = request_timeout_seconds
        self._metrics = metrics
        self._repeats = RetryBudget()
        self._refused = 0
        self._told = -math.inf

    def refuse(self, scope: Scope, every: Iterable[tuple[bytes, bytes]]) -> bytes | None:
        """The answer to a request that there is no room for, as it goes over the wire; or None.

        every: headers that every answer has.
        """
        if scope["path"] != PATH or scope["method"] != METHOD or self._registry.draining:
            return None
        started = time.monotonic()
        given = Headers(scope=scope)
        error = self._error(scope, given, started)
        if error is None:
            return None
        identifier = identifier_of(given)
        token = request_id.set(identifier)
        try:
            answer = respond_to(error, self._metrics)
            self._log_refusal(error, started)
        finally:
            request_id.reset(token)
        self._metrics.requests.labels(PATH, METHOD, str(error.status)).inc()
        self._metrics.request_seconds.labels(PATH).observe(time.monotonic() - started)
        headers = [*every, *answer.raw_headers, (HEADER.lower().encode(), identifier.encode())]
        status, body = UNAVAILABLE, bytes(answer.body)
        if BALANCER in given and not self._repeats.take(started, self._per_second(error)):
            headers = [one for one in headers if one[0] != b"content-length"]
            headers += [(b"x-accel-redirect", SAID_BY_BALANCER), (REFUSAL, body)]
            headers.append((b"content-length", b"0"))
            status, body = OK, b""
        lines = (b"%s: %s\r\n" % header for header in headers)
        return b"".join((b"HTTP/1.1 ", status, b"\r\n", *lines, b"\r\n", body))

    def _error(self, scope: Scope, headers: Headers, now: float) -> Unavailable | None:
        try:
            query = scope["query_string"]
            name = parse_qs(query.decode("latin-1"))["model"][-1] if b"model=" in query else None
            given = headers.get("X-Request-Timeout-Ms")
            seconds = self._request_timeout_seconds
            if given is not None:
                seconds = min(seconds, float(given) / 1000)
            self._registry.get(name).check_room(1, deadline=now + seconds)
        except Unavailable as error:
            return error
        except (ServiceError, ValueError, KeyError):
            return None
        return None

    def _per_second(self, error: Unavailable) -> float:
        """How many such refusals another replica might take over."""
        if isinstance(error, (Overloaded, QueueFull)):
            return sum(model.images_per_second for model in self._registry.models)
        return math.inf

    def _log_refusal(self, refusal: Unavailable, now: float) -> None:
        self._refused += 1
        if now - self._told >= LOG_INTERVAL_SECONDS:
            logger.warning("%d refused, the last of them: %s", self._refused, refusal)
            self._refused, self._told = 0, now


class RetryBudget:
    """Refusals that another replica is asked to take over: so many a second as it could.

    With more than that each request of an overload would be refused by two, which is twice the
    work, and with none a replica that has a long request would refuse for the others.
    """

    def __init__(self) -> None:
        self._left = math.inf
        self._since = 0.0

    def take(self, now: float, per_second: float) -> bool:
        """Whether one more may be repeated. per_second: how many might be answered elsewhere."""
        if per_second == math.inf:
            return True
        most = max(1.0, per_second)
        self._left = min(most, self._left + (now - self._since) * per_second)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
