"""Runs the service on a socket until it is told to end."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI
from prometheus_client import disable_created_metrics

from service.http.app import create_app
from service.http.auth.api_keys import InvalidKeyFile
from service.http.protocol import BoundedHttpProtocol
from service.observability.logging import configure_logging
from service.observability.tracing import TracingUnavailable
from service.settings import Settings, deprecated_variables, unknown_variables

logger = logging.getLogger(__name__)

EXIT_NOT_LISTENING = 1
EXIT_SETTINGS = 2
EXIT_FAILED_TO_LOAD = 3
EXIT_LOST = 4
# Of a shell for what a signal ended.
EXIT_SIGNAL = 128
# What the end may take beyond its budget before the process is cut off.
CUT_OFF_SECONDS = 5.0


class Server(uvicorn.Server):
    """Ends in order: not ready, serving on, listener closed, queue finished, exit.

    A second signal ends the process at once.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_seconds: float) -> None:
        super().__init__(config)
        self.exit_status = 0
        self._app = app
        self._drain_seconds = drain_seconds
        self._told: signal.Signals | None = None
        self._drained_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # uvicorn's own would raise what ended it once more: being told to end is no failure.
        # Here nothing may log or take a lock: the signal may have come while one was held.
        if self._told is not None:
            os._exit(EXIT_SIGNAL + sig)
        self._told = signal.Signals(sig)
        if not self.started:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self._told is not None and not self.should_exit:
            self._end()
        return await super().on_tick(counter)

    def _end(self) -> None:
        now = time.monotonic()
        if self._drained_at is None:
            assert self._told is not None
            logger.info(
                "Told to end by %s: not ready, serving on for %g s",
                self._told.name,
                self._drain_seconds,
            )
            self._app.state.registry.drain()
            self._drained_at = now + self._drain_seconds
        if now >= self._drained_at:
            self.close()

    def close(self, exit_status: int = 0) -> None:
        """Stops listening and ends; with `exit_status`, unless it ends with another already."""
        self.exit_status = self.exit_status or exit_status
        shutdown = self._app.state.shutdown
        shutdown.begin()
        self.should_exit = True
        # Whatever hangs then, a thread in native code or one that decodes, is not waited for.
        timer = threading.Timer(shutdown.timeout_seconds + CUT_OFF_SECONDS, self._cut_off)
        timer.daemon = True
        timer.start()

    def _cut_off(self) -> None:
        logger.critical("The end took too long and is cut off")
        os._exit(self.exit_status or EXIT_LOST)


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT. The process's exit status.

    0 told to end, 1 could not listen, 2 the set-up makes no sense, 3 a model can't be loaded,
    4 nothing but a new process helps.
    """
    configure_logging(settings.observability.log_level, settings.observability.log_format)
    for old, new in deprecated_variables().items():
        logger.warning("%s is deprecated: use %s", old, new)
    for name in unknown_variables():
        logger.warning("%s is not a setting of this service and is ignored", name)
    # A second series for every one, for a question that nobody asks.
    disable_created_metrics()  # type: ignore[no-untyped-call]

    def on_ready() -> None:
        logger.info("Ready on %s", _address(server))
        logger.info("Try: curl -F file=@photo.jpg %s/predict", _address(server))

    try:
        app = create_app(
            settings,
            on_ready=on_ready,
            on_failure=lambda _: server.close(EXIT_FAILED_TO_LOAD),
            on_lost=lambda _: server.close(EXIT_LOST),
        )
    except (InvalidKeyFile, TracingUnavailable) as error:
        logger.critical("%s", error)
        return EXIT_SETTINGS
    config = uvicorn.Config(
        app,
        http=BoundedHttpProtocol,
        ws="none",
        host=settings.http.host,
        port=settings.http.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.http.keep_alive_timeout_seconds,
        timeout_graceful_shutdown=max(1, round(settings.http.shutdown_timeout_seconds)),
    )
    server = Server(config, app, settings.http.drain_seconds)
    server.run()
    return server.exit_status or (0 if server.started else EXIT_NOT_LISTENING)


def _address(server: uvicorn.Server) -> str:
    """Where it really listens: the port may have been left to the system."""
    host, port = server.config.host, server.config.port
    for listener in server.servers:
        for socket in listener.sockets:
            port = socket.getsockname()[1]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
