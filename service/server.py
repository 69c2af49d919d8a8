"""Runs the service on a socket until it is told to end."""

from __future__ import annotations

import logging
import signal

import uvicorn
from prometheus_client import disable_created_metrics

from service.app import create_app
from service.connection import BoundedConnection
from service.log import configure_logging
from service.settings import Settings, unknown_variables

logger = logging.getLogger(__name__)

EXIT_FAILED_TO_LOAD = 3


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT. The process's exit status: 0, or 3 where no model loads."""
    configure_logging(settings.log_level, settings.log_format)
    for name in unknown_variables():
        logger.warning("%s is not a setting of this service and is ignored", name)
    # A second series for every one, for a question that nobody asks.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    failures: list[str] = []

    def on_failure(reason: str) -> None:
        failures.append(reason)
        server.should_exit = True

    def on_ready() -> None:
        logger.info("Ready on %s", _address(server))
        logger.info("Try: curl -F file=@photo.jpg %s/predict", _address(server))

    app = create_app(settings, on_ready=on_ready, on_failure=on_failure)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=BoundedConnection,
            ws="none",
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=settings.keep_alive_timeout_seconds,
            timeout_graceful_shutdown=round(settings.shutdown_timeout_seconds),
        )
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises what ended it once more; being told to end is no failure.
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    server.run()
    if failures:
        return EXIT_FAILED_TO_LOAD
    return 0 if server.started else 1


def _address(server: uvicorn.Server) -> str:
    """Where it really listens: the port may have been left to the system."""
    host, port = server.config.host, server.config.port
    for listener in server.servers:
        for socket in listener.sockets:
            port = socket.getsockname()[1]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
