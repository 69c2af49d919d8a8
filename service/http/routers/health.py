"""GET /health/live and /health/ready."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from service.http.dependencies import ExpositionDep, RuntimeDep
from service.http.headers import RETRY_AFTER
from service.http.paths import LIVE, READY
from service.http.problem_details import documented, problem, respond
from service.http.schemas import Health, Readiness

router = APIRouter(tags=["health"])


@router.get(LIVE, response_model=Health, summary="The process answers")
async def live() -> Health:
    return Health(status="live")


@router.get(
    READY,
    response_model=Readiness,
    summary="A model is loaded, its workers run, and the self-test is right",
    responses={
        503: documented(
            503,
            "not_ready",
            "Not ready: `checks` names what is wrong, `detail` says why",
            "loading resnet50",
        )
    },
)
async def ready(runtime: RuntimeDep, exposition: ExpositionDep) -> Readiness | JSONResponse:
    """With several workers, one that is ready is enough; `checks` are of the one that answers."""
    health = runtime.health()
    # "canary" is the deprecated name of "self_test".
    checks = {**health.checks, "canary": health.checks["self_test"]}
    if not health.ready and not await exposition.ready_elsewhere():
        body = {**problem(503, "not_ready", "; ".join(health.problems)), "checks": checks}
        return respond(body, {RETRY_AFTER: "1"})
    return Readiness(status="ready", checks=checks)
