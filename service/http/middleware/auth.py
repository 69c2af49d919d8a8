"""API keys and rate limits, where they are configured."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.access import authenticate, check_rate
from service.auth.api_keys import ApiKeys
from service.auth.rate_limit import RateLimit
from service.errors import Forbidden, ServiceError, Unauthorized
from service.http.auth.client import CLIENT, address_of, client_of, key_of
from service.http.headers import API_KEY, AUTHORIZATION
from service.http.paths import needs_key
from service.http.problem_details import respond_to
from service.observability.metrics import Metrics


class AuthMiddleware:
    """ASGI middleware. A client is its key's name, or its address where there are no keys.

    strangers: the limit of an address whose requests have no good key. It refuses no good one:
    others may share the address.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: ApiKeys | None,
        limit: RateLimit | None,
        strangers: RateLimit,
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._keys = keys
        self._limit = limit
        self._strangers = strangers
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
        if self._keys is not None:
            try:
                scope[CLIENT] = self._named(Headers(scope=scope), self._keys)
            except (Unauthorized, Forbidden):
                check_rate(self._strangers, address_of(scope))
                raise
        if self._limit is not None:
            check_rate(self._limit, client_of(scope))

    def _named(self, headers: Headers, keys: ApiKeys) -> str:
        key = key_of(headers)
        if not key:
            raise Unauthorized(
                f"Send an API key, as {AUTHORIZATION}: Bearer KEY or {API_KEY}: KEY."
            )
        return authenticate(keys, key)
