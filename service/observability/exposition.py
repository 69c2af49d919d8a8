"""The text of /metrics."""

from __future__ import annotations

from prometheus_client import generate_latest

from service.observability.metrics import Metrics


class Exposition:
    """The metrics of this process, in Prometheus's text format."""

    async def text(self, metrics: Metrics) -> bytes:
        return generate_latest(metrics.registry)
