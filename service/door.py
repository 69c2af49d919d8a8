"""Refuses what there is no room for before it is routed: under overload that is most of it."""

from __future__ import annotations

import logging
import math
import time
from types import SimpleNamespace
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ServiceError, Unavailable
from service.metrics import Metrics
from service.problems import respond_to
from service.registry import Registry

logger = logging.getLogger(__name__)

PATH = "/predict"
# A refusal costs the processors that compute: no line of the log each, but one in so long.
TELL_SECONDS = 10.0
# What the log and the metrics know the route by; none was looked for.
ROUTE = SimpleNamespace(path=PATH, quiet=True)


class Door:
    """ASGI middleware. What it can't tell it lets through: the route checks everything again."""

    def __init__(
        self, app: ASGIApp, registry: Registry, metrics: Metrics, request_timeout_seconds: float
    ) -> None:
        self._app = app
        self._registry = registry
        self._metrics = metrics
        self._request_timeout_seconds = request_timeout_seconds
        self._refused = 0
        self._told = -math.inf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
            refusal = self._refusal(scope)
            if refusal is not None:
                scope["route"] = ROUTE
                self._tell(refusal)
                await respond_to(refusal, self._metrics)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Unavailable | None:
        try:
            query = scope["query_string"]
            name = parse_qs(query.decode("latin-1"))["model"][-1] if b"model=" in query else None
            given = Headers(scope=scope).get("X-Request-Timeout-Ms")
            seconds = self._request_timeout_seconds
            if given is not None:
                seconds = min(seconds, float(given) / 1000)
            model = self._registry.get(name)
            model.check_room(1, deadline=time.monotonic() + seconds)
        except Unavailable as error:
            return error
        except (ServiceError, ValueError, KeyError):
            return None
        return None

    def _tell(self, refusal: Unavailable) -> None:
        self._refused += 1
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            logger.warning("%d refused, the last of them: %s", self._refused, refusal)
            self._refused, self._told = 0, now
