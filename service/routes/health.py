"""GET /health/live, /health/ready and /metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.dependencies import MetricsDep, RegistryDep
from service.problems import documented, problem, respond
from service.schemas import Health

router = APIRouter(tags=["health"])


# Balancers may ask with HEAD.
@router.head("/health/live", include_in_schema=False, response_model=None)
@router.get("/health/live", response_model=Health, summary="The process answers")
async def live() -> Health:
    return Health(status="live")


@router.head("/health/ready", include_in_schema=False, response_model=None)
@router.get(
    "/health/ready",
    response_model=Health,
    summary="Every model is loaded and warm, and its worker runs",
    responses={503: documented("Loading, failed, or shutting down; `detail` says which")},
)
async def ready(registry: RegistryDep) -> Health | JSONResponse:
    if problems := registry.problems():
        return respond(problem(503, "not_ready", "; ".join(problems)), {"Retry-After": "1"})
    return Health(status="ready")


@router.get("/metrics", summary="For Prometheus", response_class=Response)
async def metrics(metrics: MetricsDep) -> Response:
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
