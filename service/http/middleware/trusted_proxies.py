"""What a proxy says of a request, where the settings trust that proxy."""

from __future__ import annotations

from typing import Any, Final, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.auth.trusted_proxies import TrustedProxies
from service.settings.types import parts_of

# In the scope of a request whose connection is a trusted proxy's.
FROM_TRUSTED_PROXY: Final = "resnet.from_trusted_proxy"


class TrustedProxiesMiddleware:
    """ASGI middleware, outside everything that asks whose a request is.

    From a trusted proxy it takes the client's address and scheme, X-Forwarded-For and
    X-Forwarded-Proto, and marks the request as one of a trusted proxy. From others, nothing.
    """

    def __init__(self, app: ASGIApp, trusted_proxies: str) -> None:
        """trusted_proxies: addresses and networks, separated by commas."""
        self._app = app
        self._proxies = TrustedProxies(trusted_proxies)
        trusted: Any = list(parts_of(trusted_proxies))
        self._forwarded = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, app), trusted))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client and client[0] in self._proxies:
            scope[FROM_TRUSTED_PROXY] = True
            await self._forwarded(scope, receive, send)
        else:
            await self._app(scope, receive, send)
