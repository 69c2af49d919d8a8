"""What the processes on one port say together: the text of /metrics, and whether one is ready."""

from __future__ import annotations

from prometheus_client import generate_latest

from service.observability.metrics import Metrics


class Exposition:
    """The metrics of this process, in Prometheus's text format. There is no other on the port."""

    async def text(self, metrics: Metrics) -> bytes:
        return generate_latest(metrics.registry)

    async def ready_elsewhere(self) -> bool:
        """Whether another process on the port is ready. Asked where this one is not."""
        return False
