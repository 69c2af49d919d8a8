"""GET /health/live, /health/ready and /metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.http.dependencies import MetricsDep, RegistryDep
from service.http.problem_details import documented, problem, respond
from service.http.schemas import Health, Readiness

router = APIRouter(tags=["health"])


# Balancers may ask with HEAD.
@router.head("/health/live", include_in_schema=False, response_model=None)
@router.get("/health/live", response_model=Health, summary="The process answers")
async def live() -> Health:
    return Health(status="live")


@router.head("/health/ready", include_in_schema=False, response_model=None)
@router.get(
    "/health/ready",
    response_model=Readiness,
    summary="Every model is loaded, its worker runs, and a canary was answered rightly",
    responses={503: documented("Not now: `checks` says what of it is wrong, `detail` why")},
)
async def ready(registry: RegistryDep) -> Readiness | JSONResponse:
    checks = registry.checks()
    if problems := registry.problems():
        body = {**problem(503, "not_ready", "; ".join(problems)), "checks": checks}
        return respond(body, {"Retry-After": "1"})
    return Readiness(status="ready", checks=checks)


@router.get("/metrics", summary="For Prometheus", response_class=Response)
async def metrics(metrics: MetricsDep) -> Response:
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
