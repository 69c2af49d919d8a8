"""One worker: the service in a process of its own, on the port that all workers share."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from service.http.app import app_of, configure_process
from service.http.server import (
    CUT_OFF_SECONDS,
    EXIT_FAILED_TO_LOAD,
    EXIT_LOST,
    EXIT_SIGNAL,
    config_of,
    registry_of,
)
from service.inference.runtime import Runtime
from service.settings import Settings
from service.system.parent import end_with
from service.workers.exposition import SharedExposition
from service.workers.loading import Lifespan, LoadFailed, Loading, wrap_lifespan
from service.workers.places import Place, take_place
from service.workers.share import take_share

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.05


class WorkerConfig(uvicorn.Config):
    """uvicorn's configuration of a worker. The supervisor pickles it; the worker makes the rest."""

    def __init__(
        self, settings: Settings, folder: Path, url: str, *, workers: int, hung_seconds: int
    ) -> None:
        """folder: of the workers' places. url: where they serve, for the log.

        hung_seconds: after which a process that gives no sign of life is replaced.
        """
        self._settings = settings
        self._folder = folder
        self._url = url
        self._supervisor = os.getpid()
        super().__init__(
            "service.http.app:create_app",
            factory=True,
            log_config=None,
            workers=workers,
            timeout_worker_healthcheck=hung_seconds,
        )

    def load(self) -> None:
        """In the worker: takes its place and its share of the machine, and makes the application.

        Raises what `app_of` raises.
        """
        end_with(self._supervisor)
        # Kept: the place is this worker's as long as the process holds its lock.
        self._place = place = take_place(self._folder, self.workers)
        settings = take_share(self._settings, place.share, self.workers)
        configure_process(settings)
        for handler in logging.getLogger().handlers:
            handler.addFilter(_Number(place.number))
        app = worker_app(settings, place, self._url, self.workers)
        made = config_of(app, registry_of(app), workers=self.workers)
        vars(self).update(vars(made), timeout_worker_healthcheck=self.timeout_worker_healthcheck)
        super().load()


def worker_app(settings: Settings, place: Place, url: str, workers: int) -> FastAPI:
    """The application, which starts up when its models are loaded: only then does it listen."""
    loading = Loading()
    runtime = Runtime(
        settings, on_ready=loading.succeed, on_failure=loading.fail, on_lost=lambda _: _end()
    )
    exposition = SharedExposition(place, workers)
    app = app_of(runtime, exposition)

    @asynccontextmanager
    async def serving(started: Lifespan) -> AsyncIterator[None]:
        stop = Stop(runtime)
        stop.install()
        async with started, exposition.serving(runtime.metrics):
            try:
                await loading.wait(lambda: stop.requested)
            except LoadFailed:
                # The log has the cause. A process that takes its time to end would keep the
                # supervisor, which waits for its sign of life.
                logging.shutdown()
                os._exit(EXIT_FAILED_TO_LOAD)
            if stop.requested:
                stop.end()
            else:
                logger.info("Ready on %s", url)
            watching = asyncio.ensure_future(stop.watch())
            try:
                yield
            finally:
                watching.cancel()

    wrap_lifespan(app, serving)
    return app


class Stop:
    """What a worker does at SIGTERM or SIGINT before uvicorn does its part.

    It reports not ready and serves on for RESNET_DRAIN_SECONDS. A second signal ends it at once.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._received: signal.Signals | None = None
        self._uvicorns: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        return self._received is not None

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._uvicorns[number] = signal.getsignal(number)
            signal.signal(number, self._handle)

    async def watch(self) -> None:
        """Lets uvicorn end the process once a signal was received and the drain is over."""
        while self._received is None:
            await asyncio.sleep(POLL_SECONDS)
        settings = self._runtime.settings.http
        logger.info("%s received: the worker ends", self._received.name)
        self._runtime.drain()
        await asyncio.sleep(settings.drain_seconds)
        self.end()

    def end(self) -> None:
        assert self._received is not None
        self._runtime.begin_stop()
        self._uvicorns[self._received](self._received, None)
        # A thread that hangs in native code or in a decoder would keep the process.
        seconds = self._runtime.settings.http.shutdown_timeout_seconds + CUT_OFF_SECONDS
        timer = threading.Timer(seconds, os._exit, (EXIT_LOST,))
        timer.daemon = True
        timer.start()

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # Nothing here may log or take a lock: the signal may have interrupted its holder.
        if self._received is not None:
            os._exit(EXIT_SIGNAL + number)
        self._received = signal.Signals(number)


class _Number(logging.Filter):
    """Names the worker in each line of its log."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def filter(self, record: logging.LogRecord) -> bool:
        record.worker = self._number
        return True


def _end() -> None:
    """The supervisor starts another one."""
    os.kill(os.getpid(), signal.SIGTERM)
