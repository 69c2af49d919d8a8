"""GET /metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.http.dependencies import MetricsDep
from service.http.paths import METRICS

router = APIRouter(tags=["health"])


@router.get(METRICS, summary="For Prometheus", response_class=Response)
async def metrics(metrics: MetricsDep) -> Response:
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
