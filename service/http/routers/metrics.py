"""GET /metrics."""

from __future__ import annotations

import time

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.auth.token_bucket import TokenBucket
from service.http.dependencies import MetricsDep
from service.http.paths import METRICS
from service.observability.exposition import Exposition
from service.observability.metrics import Metrics

# It takes the event loop some milliseconds, and nobody needs it more often. The first ones in a row
# are fresh nevertheless, for more than one Prometheus.
MAX_PER_SECOND = 5.0
MAX_AT_ONCE = 5.0


def make_router(exposition: Exposition) -> APIRouter:
    """With a text that all requests share where they are too many."""
    router = APIRouter(tags=["health"])
    shared = _Shared(exposition)

    @router.get(METRICS, summary="For Prometheus", response_class=Response)
    async def metrics(metrics: MetricsDep) -> Response:
        return Response(await shared.text(metrics), media_type=CONTENT_TYPE_LATEST)

    return router


class _Shared:
    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition
        self._bucket: TokenBucket | None = None
        self._text = b""

    async def text(self, metrics: Metrics) -> bytes:
        """The values of now, or under a flood of 1 / MAX_PER_SECOND ago at most."""
        now = time.monotonic()
        self._bucket = self._bucket or TokenBucket(MAX_AT_ONCE, now)
        if not self._bucket.take(now, per_second=MAX_PER_SECOND, capacity=MAX_AT_ONCE):
            self._text = await self._exposition.text(metrics)
        return self._text
