"""API keys and rate limits, where they are configured."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.access_control import AccessControl
from service.errors import ServiceError, Unauthorized
from service.http.headers import API_KEY, AUTHORIZATION
from service.http.paths import needs_key
from service.http.problem_details import respond_to
from service.observability.metrics import Metrics


class AuthMiddleware:
    """ASGI middleware. A client is its key's name, or its address where there are no keys."""

    def __init__(self, app: ASGIApp, access: AccessControl, metrics: Metrics) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and needs_key(scope["path"]):
            try:
                self._check(scope)
            except ServiceError as error:
                await respond_to(error, self._metrics)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        scheme, _, bearer = headers.get(AUTHORIZATION, "").partition(" ")
        key = bearer.strip() if scheme.lower() == "bearer" else headers.get(API_KEY, "")
        if self._access.needs_key and not key:
            raise Unauthorized(
                f"Send an API key, as {AUTHORIZATION}: Bearer KEY or {API_KEY}: KEY."
            )
        address = scope.get("client")
        self._access.admit(key, address[0] if address else "unknown")
