"""Puts the service together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.requests import ClientDisconnect

from service import __version__
from service.http.auth.api_keys import ApiKeys
from service.http.auth.rate_limit import RateLimit
from service.http.middleware.access_log import AccessLogMiddleware
from service.http.middleware.auth import AuthMiddleware
from service.http.middleware.load_shedding import LoadShedding
from service.http.problem_details import add_error_handlers
from service.http.routers import health, models, predict
from service.http.routers import ui as page
from service.http.shutdown import Shutdown
from service.inference.loader import load_model, make_decoder_pool
from service.inference.model import Model
from service.inference.repository import ModelRepository
from service.inference.watchdog import Watchdog
from service.observability.metrics import Metrics
from service.observability.tracing import Tracing
from service.settings import Settings

logger = logging.getLogger(__name__)

# nginx's number for a client that left before its answer; nobody reads it but logs and metrics.
CLIENT_CLOSED_REQUEST = 499


def create_app(
    settings: Settings,
    *,
    load: Callable[[str], Model] | None = None,
    metrics: Metrics | None = None,
    on_ready: Callable[[], None] = lambda: None,
    on_failure: Callable[[str], None] = lambda _: None,
    on_lost: Callable[[str], None] = lambda _: None,
) -> FastAPI:
    """The service; models are loaded in a thread once it starts.

    load: what loads a model by name; by default the real thing. Tests hand in quicker ones.
    on_ready, on_failure: called from that thread, with the reason for a failure.
    on_lost: called from a thread when nothing but a new process can help, with why.
    """
    metrics = metrics or Metrics()
    decoder = make_decoder_pool(settings, metrics)
    registry = ModelRepository(
        settings.model.names,
        load or (lambda name: load_model(name, settings, decoder, metrics)),
        on_ready=on_ready,
        on_failure=on_failure,
    )
    metrics.ready.set_function(lambda: float(not registry.problems()))

    keys = ApiKeys(settings.security.api_keys_file) if settings.security.api_keys_file else None
    limit = (
        RateLimit(settings.security.rate_limit_per_second, settings.security.rate_limit_burst)
        if settings.security.rate_limit_per_second
        else None
    )
    tracing = Tracing()
    shutdown = Shutdown(settings.http.shutdown_timeout_seconds)
    watchdog = Watchdog(
        registry,
        self_test_interval_seconds=settings.observability.self_test_interval_seconds,
        exit_seconds=settings.observability.unhealthy_exit_seconds,
        on_lost=on_lost,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        registry.start()
        watchdog.start()
        yield
        watchdog.stop()
        # uvicorn has let every request finish; what is left are images that nobody waits for.
        await asyncio.to_thread(registry.close, shutdown.remaining_seconds())
        decoder.close()
        await asyncio.to_thread(tracing.close)

    # Its /docs needs no other server: the reader may sit behind a firewall.
    app = FastAPIOffline(
        title="ResNet server",
        version=__version__,
        summary="Images in, classes out.",
        lifespan=lifespan,
        telemetry=tracing.fastapi,
    )
    app.state.settings = settings
    app.state.registry = registry
    app.state.metrics = metrics
    app.state.shutdown = shutdown
    # For the connections: what it refuses never comes to the middleware below.
    app.state.door = LoadShedding(registry, metrics, settings.http.request_timeout_seconds)
    # The last to be added is the first to be asked.
    if keys is not None or limit is not None:
        app.add_middleware(AuthMiddleware, keys=keys, limit=limit, metrics=metrics)
    app.add_middleware(AccessLogMiddleware, metrics=metrics, draining=lambda: registry.draining)
    add_error_handlers(app, metrics)

    app.state.spans = tracing.spans

    @app.exception_handler(ClientDisconnect)
    async def client_left(_request: Request, _error: Exception) -> Response:
        metrics.rejections.labels("cancelled").inc()
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    for router in (predict.make_router(settings), models.router, health.router, page.router):
        app.include_router(router)
    return app
