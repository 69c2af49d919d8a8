"""An application that has started up only when its models are loaded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI

POLL_SECONDS = 0.05

Lifespan = AbstractAsyncContextManager[None]


class LoadFailed(Exception):
    """No model can be served."""


class Loading:
    """The outcome of loading, which the loading thread reports.

    `succeed` and `fail` are what a Runtime calls `on_ready` and `on_failure`.
    """

    def __init__(self) -> None:
        self._done = threading.Event()
        self._failure: str | None = None

    def succeed(self) -> None:
        self._done.set()

    def fail(self, reason: str) -> None:
        self._failure = reason
        self._done.set()

    async def wait(self, given_up: Callable[[], bool] = lambda: False) -> None:
        """Until the models are loaded, or the caller gives up.

        How long loading may take is the loader's matter: it ends with one or the other report.
        Raises LoadFailed.
        """
        while not self._done.is_set():
            if given_up():
                return
            await asyncio.sleep(POLL_SECONDS)
        if self._failure is not None:
            raise LoadFailed(self._failure)


def wrap_lifespan(app: FastAPI, around: Callable[[Lifespan], Lifespan]) -> None:
    """Adds to what the application does as it starts up and as it shuts down.

    around: takes the application's own lifespan, and enters it.
    """
    own: Any = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with around(own(app)):
            yield

    context: Any = lifespan
    app.router.lifespan_context = context
