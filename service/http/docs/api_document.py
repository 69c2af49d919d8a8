"""The document of the API, made when it is first asked for."""

from __future__ import annotations

import asyncio
import threading

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.paths import OPENAPI


def make_document_on_demand(app: FastAPI) -> None:
    """In a thread: it takes 0.2 s of CPU time, for which the event loop or the start would wait."""
    for route in app.routes:
        if isinstance(route, Route) and route.path == OPENAPI:
            route.app = _MadeFirst(app, route.app)


class _MadeFirst:
    """An ASGI application: another one, once the document is there."""

    def __init__(self, app: FastAPI, respond: ASGIApp) -> None:
        self._app = app
        self._respond = respond
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app.openapi_schema is None:
            await asyncio.to_thread(self._make)
        await self._respond(scope, receive, send)

    def _make(self) -> None:
        with self._lock:
            self._app.openapi()
