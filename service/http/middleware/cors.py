"""Requests of pages of other origins, where the settings name those origins."""

from __future__ import annotations

from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.headers import REQUEST_ID, RETRY_AFTER, SERVER_TIMING, TENSOR_HEADER_LENGTH
from service.settings.types import parts_of

METHODS: Final = ("GET", "HEAD", "POST")
# What a page may read of an answer, beside its body.
EXPOSED: Final = (RETRY_AFTER, REQUEST_ID, SERVER_TIMING, TENSOR_HEADER_LENGTH)
# How long a browser may keep the answer to a preflight.
MAX_AGE_SECONDS: Final = 600


class CorsMiddleware:
    """ASGI middleware, of which there are two.

    The outer one is outside load shedding: a page must be able to read a refusal and its
    Retry-After. The inner one answers preflights, which browsers send without a key: it is within
    the access log and the limits on headers, and outside AuthMiddleware.

    Cookies are not allowed, since keys are sent as headers; so a page may send any header.
    """

    def __init__(self, app: ASGIApp, origins: str, *, preflights: bool) -> None:
        """origins: separated by commas, or "*". preflights: whether it is the inner one."""
        self._app = app
        self._preflights = preflights
        self._cors = CORSMiddleware(
            app,
            allow_origins=parts_of(origins),
            allow_methods=METHODS,
            allow_headers=("*",),
            expose_headers=EXPOSED,
            max_age=MAX_AGE_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        concerned = scope["type"] == "http" and is_preflight(scope) == self._preflights
        await (self._cors if concerned else self._app)(scope, receive, send)


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks if it may send the request of a page of another origin."""
    if scope["method"] != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return {b"origin", b"access-control-request-method"} <= names
