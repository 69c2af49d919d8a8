"""API keys and rate limits, where they are configured."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.access import Access
from service.errors import ServiceError
from service.http.auth.client import CLIENT, address_of, key_of
from service.http.paths import needs_key
from service.http.problem_details import respond_to
from service.observability.metrics import Metrics


class AuthMiddleware:
    """ASGI middleware. A client is its key's name, or its address where there are no keys."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and needs_key(scope["path"]):
            try:
                self._check(scope)
            except ServiceError as error:
                response = respond_to(error, self._metrics, scope["path"])
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        client = self._access.admit(key_of(Headers(scope=scope)), address_of(scope))
        if self._access.keys is not None:
            scope[CLIENT] = client
