"""Runs the service on a socket until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from model_builder.errors import InvalidArtifact, UnknownModel
from service.auth.api_keys import InvalidKeyFile
from service.auth.trusted_proxies import TrustedProxies
from service.http.app import create_app, prepare
from service.http.connection.bounds import Bounds
from service.http.connection.descriptors import Listener, warn_of_limit
from service.http.connection.protocol import protocol_of
from service.http.connection.registry import ConnectionRegistry
from service.http.grpc import GrpcUnavailable
from service.inference.repository import AmbiguousName
from service.inference.runtime import Runtime
from service.observability.tracing import TracingUnavailable
from service.settings import Settings
from service.system.certificate import Certificate, InvalidCertificate

logger = logging.getLogger(__name__)

EXIT_NOT_LISTENING = 1
EXIT_SETTINGS = 2
EXIT_FAILED_TO_LOAD = 3
EXIT_LOST = 4
# A shell's exit status for a process that a signal ended, plus the signal's number.
EXIT_SIGNAL = 128
# The process is ended by force this long after the shutdown timeout.
CUT_OFF_SECONDS = 5.0
# Connections that wait to be accepted; uvicorn's default.
BACKLOG = 2048
SETTINGS_ERRORS = (
    AmbiguousName,
    GrpcUnavailable,
    InvalidArtifact,
    InvalidCertificate,
    InvalidKeyFile,
    TracingUnavailable,
    UnknownModel,
)


class Server(uvicorn.Server):
    """Ends in order: not ready, serving on, listener closed, queue finished, exit.

    A second signal ends the process at once.
    """

    def __init__(self, app: FastAPI) -> None:
        """app: of `app_of`, whose Runtime it ends."""
        self._runtime: Runtime = app.state.runtime
        self._registry = registry_of(app)
        super().__init__(config_of(app, self._registry))
        self.exit_status = 0
        self._drain_seconds = self._runtime.settings.http.drain_seconds
        self._signal: signal.Signals | None = None
        self._drained_at: float | None = None

    @property
    def max_connections(self) -> int:
        """Those kept for health probes included."""
        bounds = self._registry.bounds
        return bounds.max_connections + bounds.probe_connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._registry.start()
            logger.info("Listening; not ready until a model is loaded")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # uvicorn's own raises the signal again, which would turn an orderly end into a failure.
        # Nothing here may log or take a lock: the signal may have interrupted its holder.
        if self._signal is not None:
            os._exit(EXIT_SIGNAL + sig)
        self._signal = signal.Signals(sig)
        if not self.started:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self._signal is not None and not self.should_exit:
            self._end()
        return await super().on_tick(counter)

    def _end(self) -> None:
        now = time.monotonic()
        if self._drained_at is None:
            assert self._signal is not None
            logger.info(
                "%s received: not ready from now on, serving for %g s more",
                self._signal.name,
                self._drain_seconds,
            )
            self._runtime.drain()
            self._drained_at = now + self._drain_seconds
        if now >= self._drained_at:
            self.close()

    def close(self, exit_status: int = 0) -> None:
        """Stops listening and ends; with `exit_status`, unless it ends with another already."""
        self.exit_status = self.exit_status or exit_status
        self._runtime.begin_stop()
        self.should_exit = True
        # A thread that hangs in native code or in a decoder would keep the process.
        timeout_seconds = self._runtime.settings.http.shutdown_timeout_seconds
        timer = threading.Timer(timeout_seconds + CUT_OFF_SECONDS, self._cut_off)
        timer.daemon = True
        timer.start()

    def _cut_off(self) -> None:
        logger.critical("The shutdown took too long and is cut off")
        os._exit(self.exit_status or EXIT_LOST)


def registry_of(app: FastAPI, bounds: Bounds | None = None) -> ConnectionRegistry:
    """The connections of a server of the application; by default with its settings' bounds."""
    runtime: Runtime = app.state.runtime
    proxies = TrustedProxies(runtime.settings.security.trusted_proxies)
    bounds = bounds or Bounds.of(runtime.settings)
    return ConnectionRegistry(
        bounds,
        runtime.metrics,
        is_trusted=proxies.__contains__,
        charge=app.state.pacer.charge,
    )


def config_of(app: FastAPI, registry: ConnectionRegistry, **options: Any) -> uvicorn.Config:
    """uvicorn's configuration. options: of uvicorn.Config, in addition to the service's own."""
    http = app.state.runtime.settings.http
    certificate: Certificate | None = app.state.certificate
    if certificate is not None:
        options["ssl_context_factory"] = lambda *_: certificate.context()
    return uvicorn.Config(
        app,
        http=protocol_of(registry),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        # The application believes whom the settings name; uvicorn would believe this machine.
        proxy_headers=False,
        timeout_keep_alive=http.keep_alive_timeout_seconds,
        timeout_graceful_shutdown=max(1, round(http.shutdown_timeout_seconds)),
        **options,
    )


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT. Returns the process's exit status.

    0: ended by a signal. 1: can't listen. 2: the settings make no sense. 3: no model can be loaded.
    4: only a new process helps.
    """
    listener: socket.socket
    server: Server

    def on_ready() -> None:
        scheme = "http" if app.state.certificate is None else "https"
        shown = address(scheme, settings.http.host, listener)
        logger.info("Ready on %s", shown)
        logger.info("Try: curl -F file=@photo.jpg %s/predict", shown)

    try:
        prepare(settings)
        app = create_app(
            settings,
            on_ready=on_ready,
            on_failure=lambda _: server.close(EXIT_FAILED_TO_LOAD),
            on_lost=lambda _: server.close(EXIT_LOST),
        )
    except SETTINGS_ERRORS as error:
        logger.critical("%s", error)
        return EXIT_SETTINGS
    port = settings.grpc.grpc_port
    try:
        if port:
            # gRPC opens it later, and says no more than that it could not.
            listen(settings.http.host, port).close()
        port = settings.http.port
        listener = listen(settings.http.host, port)
    except OSError as error:
        logger.critical("Can't listen on %s:%d: %s", settings.http.host, port, error)
        return EXIT_NOT_LISTENING
    server = Server(app)
    warn_of_limit(server.max_connections)
    server.run(sockets=[listener])
    return server.exit_status or (0 if server.started else EXIT_NOT_LISTENING)


def listen(host: str, port: int) -> socket.socket:
    """Raises OSError where the address is in use or is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return Listener.of(socket.create_server((host, port), family=family, backlog=BACKLOG))


def address(scheme: str, host: str, listener: socket.socket) -> str:
    """Where the service listens: the system may have selected the port."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{listener.getsockname()[1]}"
