"""API keys and rate limits, where they are configured."""

from __future__ import annotations

import math

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Forbidden, RateLimited, ServiceError, Unauthorized
from service.http.auth.api_keys import ApiKeys
from service.http.auth.client import CLIENT, address_of, client_of
from service.http.auth.rate_limit import RateLimit
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
                await respond_to(error, self._metrics)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if self._keys is not None:
            try:
                scope[CLIENT] = self._named(Headers(scope=scope), self._keys)
            except (Unauthorized, Forbidden):
                _take(self._strangers, address_of(scope))
                raise
        if self._limit is not None:
            _take(self._limit, client_of(scope))

    def _named(self, headers: Headers, keys: ApiKeys) -> str:
        scheme, _, bearer = headers.get(AUTHORIZATION, "").partition(" ")
        key = bearer.strip() if scheme.lower() == "bearer" else headers.get(API_KEY, "")
        if not key:
            raise Unauthorized(
                f"Send an API key, as {AUTHORIZATION}: Bearer KEY or {API_KEY}: KEY."
            )
        client = keys.client(key)
        if client is None:
            raise Unauthorized("The API key is not known here.")
        if client.off:
            raise Forbidden(f"The API key of {client.name} has been turned off.")
        return client.name


def _take(limit: RateLimit, client: str) -> None:
    """Raises RateLimited."""
    if wait := limit.take(client):
        raise RateLimited(
            f"{client} has sent too many requests. The next one may be sent in {wait:.1f} s.",
            retry_after_seconds=math.ceil(wait),
        )
