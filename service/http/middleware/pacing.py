"""Lets a client that keeps the event loop busy wait, while others are served."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.auth.api_keys import ApiKeys
from service.fairness.pacing import Pacer
from service.http.auth.client import address_of, client_before_auth
from service.http.paths import PROBES

# Probes are answered within half a second, whoever sends them.
MOST_SECONDS, MOST_PROBE_SECONDS = 2.0, 0.2
# What the server does for a request before and after the application, about.
SERVER_SECONDS = 50e-6


class PacingMiddleware:
    """Pure ASGI, outside of all that a request costs. A connection that waits is not read.

    A client is charged the CPU time of its requests on the event loop; not of those that gave it
    predictions, which take turns on the device.
    """

    def __init__(self, app: ASGIApp, *, pacer: Pacer, keys: ApiKeys | None) -> None:
        self._app = app
        self._pacer = pacer
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        most_seconds = MOST_PROBE_SECONDS if scope["path"] in PROBES else MOST_SECONDS
        turn = await self._pacer.begin(self._client(scope), most_seconds)
        metered = Metered(self._app(scope, receive, send_noted))  # type: ignore[arg-type]
        try:
            await metered
        finally:
            predicted = scope["method"] == "POST" and status == 200
            self._pacer.end(turn, 0.0 if predicted else metered.seconds + SERVER_SECONDS)

    def _client(self, scope: Scope) -> str:
        # A key's name may be an address.
        if self._keys is not None and (name := client_before_auth(scope, self._keys)) is not None:
            return f"key {name}"
        return address_of(scope)


class Metered:
    """Awaits a coroutine and sums the CPU time that its thread spends in its steps."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.seconds = 0.0
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, None]:
        return self  # type: ignore[return-value]

    def __iter__(self) -> Metered:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        started = time.thread_time()
        try:
            return self._coroutine.send(value)
        finally:
            self.seconds += time.thread_time() - started

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> Any:
        started = time.thread_time()
        try:
            if error is None and traceback is None:
                return self._coroutine.throw(kind)
            return self._coroutine.throw(kind, error, traceback)  # type: ignore[arg-type]
        finally:
            self.seconds += time.thread_time() - started

    def close(self) -> None:
        self._coroutine.close()
