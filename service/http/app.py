"""The HTTP application.

`create_app` without arguments is a factory for any ASGI server, as in
`uvicorn --factory --no-proxy-headers service.http.app:create_app`. Load shedding, the limits on
bodies and images, API keys, rate limits and trusted proxies hold there. `service.http.server` alone
has the limits on connections (`service.http.connection`), a drain after SIGTERM, and the exit
statuses.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi_offline import FastAPIOffline
from prometheus_client import disable_created_metrics
from starlette.requests import ClientDisconnect

from service.auth.access import Access
from service.fairness.answer_budget import AnswerBudget
from service.fairness.pacing import Pacer
from service.http.dependencies import Predicting
from service.http.docs.api_document import make_document_on_demand
from service.http.docs.static_content import serve_docs_from_memory
from service.http.grpc import check_grpc, serving_grpc
from service.http.headers import API_KEY
from service.http.middleware.access_log import AccessLogMiddleware
from service.http.middleware.auth import AuthMiddleware
from service.http.middleware.cors import CorsMiddleware
from service.http.middleware.head import HeadMiddleware
from service.http.middleware.header_limits import HeaderLimitsMiddleware, exceeds_limits
from service.http.middleware.load_shedding import LoadSheddingMiddleware
from service.http.middleware.pacing import PacingMiddleware
from service.http.middleware.root_path import RootPathMiddleware
from service.http.middleware.trusted_proxies import TrustedProxiesMiddleware
from service.http.model_list import ModelList
from service.http.outputs.overlays import Overlays
from service.http.paths import DOCS, DOCS_STATIC, MONITORING, OPENAPI, REDOC
from service.http.prediction_json import PredictionWriter
from service.http.problem_details import add_error_handlers
from service.http.protocols import embeddings, v1, v2_infer, v2_models
from service.http.request.body import Bodies
from service.http.routers import health, metrics, models, predict, ui
from service.inference.artifacts import check_names, cpus_of
from service.inference.disconnect import Disconnected
from service.inference.runtime import Runtime
from service.observability.exposition import Exposition
from service.observability.logging import configure_logging
from service.observability.tracing import Tracing
from service.settings import Settings, deprecated_variables, unknown_variables
from service.system.certificate import Certificate, InvalidCertificate
from service.version import __version__

logger = logging.getLogger(__name__)

# nginx's status for a client that left before its response; only logs and metrics show it.
CLIENT_CLOSED_REQUEST = 499


def create_app(settings: Settings | None = None, **runtime_options: Any) -> FastAPI:
    """The application around a new Runtime, whose models begin to load when the server starts.

    settings: None reads the environment and calls `prepare`; a runtime that can't serve, or
    no longer, then ends the process by SIGTERM. runtime_options: Runtime's keyword arguments.
    Raises InvalidCertificate, InvalidKeyFile, GrpcUnavailable, TracingUnavailable, AmbiguousName,
    UnknownModel or pydantic's ValidationError.
    """
    if settings is None:
        settings = Settings()
        prepare(settings)
        runtime_options = {"on_failure": _end, "on_lost": _end, **runtime_options}
    return app_of(Runtime(settings, **runtime_options))


def prepare(settings: Settings) -> None:
    """What a process does before it makes the application: logging, and checks of the settings.

    Raises UnknownModel or GrpcUnavailable.
    """
    configure_process(settings)
    for old, new in deprecated_variables().items():
        logger.warning("%s is deprecated: use %s", old, new)
    for name in unknown_variables():
        logger.warning("%s is not a setting of this service and is ignored", name)
    if os.environ.get("FORWARDED_ALLOW_IPS"):
        logger.warning(
            "FORWARDED_ALLOW_IPS is uvicorn's and is not read by `resnet serve`: "
            "RESNET_TRUSTED_PROXIES names the proxies whose X-Forwarded-For is believed"
        )
    check_names(settings)
    if settings.grpc.grpc_port is not None:
        check_grpc()


def configure_process(settings: Settings) -> None:
    """The process's logging and metrics."""
    configure_logging(settings.observability.log_level, settings.observability.log_format)
    # A second series for each counter, which no dashboard uses.
    disable_created_metrics()  # type: ignore[no-untyped-call]


def app_of(runtime: Runtime, exposition: Exposition | None = None) -> FastAPI:
    """The application around a Runtime, which it starts and stops.

    exposition: the text of /metrics and the readiness of the port; by default of this process.
    """
    settings, service_metrics = runtime.settings, runtime.metrics
    security = settings.security
    access = Access.of(security)
    keys, limit = access.keys, access.limit
    certificate = certificate_of(settings)
    answers = AnswerBudget(runtime.service.budget)
    pacer = Pacer(
        observe_wait=service_metrics.requests_paced.inc,
        cpus=cpus_of(settings),
    )
    # Tracing is outside all middleware, also outside the one that takes the prefix off.
    prefix = settings.http.root_path
    tracing = Tracing(
        untraced=lambda scope: (
            scope["path"].removeprefix(prefix) in MONITORING or exceeds_limits(scope)
        )
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime.start()
        grpc = serving_grpc(runtime, access, tracing.spans, certificate, pacer, answers)
        async with grpc as app.state.grpc_port:
            yield
        # The server has finished every request; images of cancelled requests may be left.
        await asyncio.to_thread(runtime.stop)
        await asyncio.to_thread(overlays.close)
        await asyncio.to_thread(tracing.close)

    # Its /docs loads nothing from another host: the reader may be behind a firewall.
    app = FastAPIOffline(
        docs_url=DOCS,
        redoc_url=REDOC,
        openapi_url=OPENAPI,
        static_url=DOCS_STATIC,
        title="ResNet server",
        version=__version__,
        summary="Images in, classes out.",
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry=tracing.fastapi,
    )
    serve_docs_from_memory(app)
    make_document_on_demand(app)
    app.state.runtime = runtime
    app.state.exposition = exposition = exposition or Exposition()
    app.state.spans = tracing.spans
    app.state.certificate = certificate
    app.state.rate_limit = limit
    app.state.bodies = bodies = Bodies(runtime.service.budget)
    app.state.pacer = pacer
    app.state.answers = answers
    app.state.model_list = ModelList(runtime.repository, settings)
    overlays = Overlays()
    app.state.predicting = Predicting(
        runtime.service, settings, tracing.spans, limit, bodies, PredictionWriter(), overlays
    )
    # Added last means called first.
    app.add_middleware(HeadMiddleware)
    if keys is not None or limit is not None:
        app.add_middleware(AuthMiddleware, access=access, metrics=service_metrics)
    if security.cors_origins:
        app.add_middleware(CorsMiddleware, origins=security.cors_origins, preflights=True)
    app.add_middleware(HeaderLimitsMiddleware, metrics=service_metrics)
    app.add_middleware(
        AccessLogMiddleware,
        metrics=service_metrics,
        draining=lambda: runtime.repository.draining,
    )
    app.add_middleware(LoadSheddingMiddleware, runtime=runtime, metrics=service_metrics, keys=keys)
    app.add_middleware(PacingMiddleware, pacer=pacer, keys=keys)
    if security.cors_origins:
        app.add_middleware(CorsMiddleware, origins=security.cors_origins, preflights=False)
    if security.trusted_proxies:
        app.add_middleware(TrustedProxiesMiddleware, trusted_proxies=security.trusted_proxies)
    app.add_middleware(RootPathMiddleware, root_path=settings.http.root_path)
    add_error_handlers(app, service_metrics)

    @app.exception_handler(ClientDisconnect)
    @app.exception_handler(Disconnected)
    async def client_left(_request: Request, _error: Exception) -> Response:
        service_metrics.rejections.labels("cancelled").inc()
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    # They only describe the schemes in /openapi.json; AuthMiddleware checks the key.
    needs_key = [
        Security(HTTPBearer(auto_error=False)),
        Security(APIKeyHeader(name=API_KEY, auto_error=False)),
    ]
    secured = needs_key if keys is not None else []
    # A router that does not match takes the event loop 10 us: what is asked most often goes first.
    app.include_router(predict.make_router(settings), dependencies=secured)
    for router in (health.router, metrics.make_router(exposition)):
        app.include_router(router)
    inference = (models.router, v2_infer.router, embeddings.router, v1.router, v2_models.router)
    for router in inference:
        app.include_router(router, dependencies=secured)
    for router in (v2_models.health, ui.make_router()):
        app.include_router(router)
    return app


def certificate_of(settings: Settings) -> Certificate | None:
    """That of the listeners; None for plain text. Raises InvalidCertificate."""
    files = settings.tls
    if files.tls_cert_file is None and files.tls_key_file is None:
        return None
    if files.tls_cert_file is None or files.tls_key_file is None:
        raise InvalidCertificate("RESNET_TLS_CERT_FILE and RESNET_TLS_KEY_FILE are set together.")
    return Certificate(files.tls_cert_file, files.tls_key_file)


def _end(_reason: str) -> None:
    """Asks the ASGI server to shut down."""

    os.kill(os.getpid(), signal.SIGTERM)
