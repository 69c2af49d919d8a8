"""Runs the service as RESNET_WORKERS processes, which uvicorn's supervisor starts and replaces."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service.http import server
from service.http.app import create_app, prepare
from service.settings import Settings
from service.workers.share import worker_count
from service.workers.shared_port import SharedPort
from service.workers.worker import WorkerConfig

logger = logging.getLogger(__name__)

# A worker's process answers the supervisor from a thread. One that does not for so long is
# replaced; in a rolling restart, so long is waited for each new one's model.
HUNG_SECONDS = 30


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT. Returns the exit status, as `server.serve` does.

    SIGHUP replaces one worker after the other, each once its successor is ready.
    """
    workers = worker_count(settings)
    settings = settings.model_copy(
        update={"http": settings.http.model_copy(update={"workers": workers})}
    )
    if workers == 1:
        return server.serve(settings)
    try:
        prepare(settings)
        # The workers' own application; what is wrong with it is said once, and here.
        create_app(settings)
    except server.SETTINGS_ERRORS as error:
        logger.critical("%s", error)
        return server.EXIT_SETTINGS
    http = settings.http
    try:
        listener = SharedPort.bound_to(http.host, http.port)
    except OSError as error:
        logger.critical("Can't listen on %s:%d: %s", http.host, http.port, error)
        return server.EXIT_NOT_LISTENING
    with listener, tempfile.TemporaryDirectory(prefix="resnet-workers-") as folder:
        scheme = "http" if settings.tls.tls_cert_file is None else "https"
        url = server.address(scheme, http.host, listener)
        config = WorkerConfig(
            settings, Path(folder), url, workers=workers, hung_seconds=HUNG_SECONDS
        )
        logger.info("Starting %d workers; the port opens when one is ready", workers)
        supervisor = Multiprocess(config, [listener])
        supervisor.run()
        statuses = {process.exitcode for process in supervisor.processes}
    return server.EXIT_FAILED_TO_LOAD if STARTUP_FAILURE in statuses else 0
