"""A replica's metrics on Ray's own endpoint of each node, where Prometheus finds them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ray import serve
from ray.util.metrics import Gauge

from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)

# Ray's agent reports as often by default.
INTERVAL_SECONDS = 10.0
REPLICA = "replica"


class RayMetrics:
    """Copies every sample of the service's metrics into a gauge of Ray's with the same name.

    Ray writes `ray_` before the names, and its labels beside ours. A counter's value in a gauge
    still has its rate.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._gauges: dict[str, Gauge] = {}
        self._replica = str(serve.get_replica_context().replica_id.unique_id)

    @asynccontextmanager
    async def exporting(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self._export())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def copy(self) -> None:
        """Once, now."""
        for family in self._metrics.registry.collect():
            for sample in family.samples:
                gauge = self._gauges.get(sample.name)
                if gauge is None:
                    gauge = Gauge(sample.name, family.documentation, (*sample.labels, REPLICA))
                    self._gauges[sample.name] = gauge
                gauge.set(sample.value, {**sample.labels, REPLICA: self._replica})

    async def _export(self) -> None:
        while True:
            try:
                self.copy()
            except Exception:
                logger.exception("The metrics can't be given to Ray")
            await asyncio.sleep(INTERVAL_SECONDS)
