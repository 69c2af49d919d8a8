"""HEAD wherever there is GET."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """ASGI middleware, the innermost: a HEAD request is routed as GET.

    The ASGI server leaves the answer's body out, since for it the method is still HEAD.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        routed = {**scope, "method": "GET"}

        async def send_head(message: Message) -> None:
            # For what is outside, such as the log.
            if "route" in routed:
                scope["route"] = routed["route"]
            await send(message)

        await self._app(routed, receive, send_head)
