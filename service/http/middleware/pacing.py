"""Lets a client that keeps the event loop busy wait, while others are served."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.api_keys import ApiKeys
from service.fairness.paced import paced_name, run_paced
from service.fairness.pacing import MOST_PROBE_SECONDS, MOST_SECONDS, Pacer
from service.http.auth.client import address_of, client_before_auth
from service.http.paths import PROBES

# What the server does for a request before and after the application, about.
SERVER_SECONDS = 50e-6


class PacingMiddleware:
    """Pure ASGI, outside of all that a request costs. A connection that waits is not read.

    A client is charged the CPU time of its requests on the event loop, less a little for each image
    that took its turn on the device.
    """

    def __init__(self, app: ASGIApp, *, pacer: Pacer, keys: ApiKeys | None) -> None:
        self._app = app
        self._pacer = pacer
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most_seconds = MOST_PROBE_SECONDS if scope["path"] in PROBES else MOST_SECONDS
        await run_paced(
            self._pacer,
            self._client(scope),
            lambda: self._app(scope, receive, send),  # type: ignore[arg-type,return-value]
            most_seconds=most_seconds,
            other_seconds=SERVER_SECONDS,
        )

    def _client(self, scope: Scope) -> str:
        name = None if self._keys is None else client_before_auth(scope, self._keys)
        return address_of(scope) if name is None else paced_name(name)
