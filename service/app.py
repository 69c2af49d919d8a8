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
from service.access import Access
from service.loading import load_model, make_decoder
from service.metrics import Metrics
from service.model import Model
from service.problems import add_error_handlers
from service.registry import Registry
from service.routes import health, models, page, predict
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
) -> FastAPI:
    """The service; models are loaded in a thread once it starts.

    load: what loads a model by name; by default the real thing. Tests hand in quicker ones.
    on_ready, on_failure: called from that thread, with the reason for a failure.
    """
    metrics = metrics or Metrics()
    decoder = make_decoder(settings, metrics)
    registry = Registry(
        settings.model_names,
        load or (lambda name: load_model(name, settings, decoder, metrics)),
        on_ready=on_ready,
        on_failure=on_failure,
    )
    metrics.ready.set_function(lambda: float(not registry.problems()))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        registry.start()
        yield
        # uvicorn has let every request finish; what is left are pictures that nobody waits for.
        await asyncio.to_thread(registry.close, settings.shutdown_timeout_seconds)
        decoder.close()

    # Its /docs needs no other server: the reader may sit behind a firewall.
    app = FastAPIOffline(
        title="ResNet server",
        version=__version__,
        summary="Pictures in, classes out.",
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.registry = registry
    app.state.metrics = metrics
    app.add_middleware(Access, metrics=metrics)
    add_error_handlers(app, metrics)

    @app.exception_handler(ClientDisconnect)
    async def client_left(_request: Request, _error: Exception) -> Response:
        metrics.rejections.labels("cancelled").inc()
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    for router in (predict.make_router(settings), models.router, health.router, page.router):
        app.include_router(router)
    return app
