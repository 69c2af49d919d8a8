"""grpc.health.v1.Health: for Kubernetes' probes, balancers and clients that watch."""

from __future__ import annotations

import asyncio

from service.errors import ModelNotFound, ModelNotReady
from service.grpc.call import Call
from service.grpc.protos import health_pb2 as messages
from service.inference.runtime import Runtime

# Serving as long as the process answers; every other name means ready.
LIVE = "live"
POLL_SECONDS = 0.5
SERVING, NOT_SERVING, SERVICE_UNKNOWN = "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"


class Health:
    """services: names that a request may have beside "" and "live"; a model's is another."""

    def __init__(self, runtime: Runtime, services: frozenset[str]) -> None:
        self._runtime = runtime
        self._services = services

    async def check(self, call: Call) -> bytes:
        """Raises ModelNotFound for an unknown name, as the protocol has it."""
        name = await self._asked(call)
        status = self._status(name)
        if status == SERVICE_UNKNOWN:
            raise ModelNotFound(f"No service has that name. Received: {name[:200]!r}")
        return _dump(status)

    async def watch(self, call: Call) -> None:
        """The status, and each change of it, until the client leaves."""
        name = await self._asked(call)
        sent = ""
        while True:
            status = self._status(name)
            if status != sent:
                await call.send(_dump(status))
                sent = status
            if self._runtime.stopping:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _asked(self, call: Call) -> str:
        request = await call.receive_as(messages.HealthCheckRequest)
        return request.service

    def _status(self, name: str) -> str:
        if name == LIVE:
            return SERVING
        if name == "" or name in self._services:
            return SERVING if self._runtime.health().ready else NOT_SERVING
        try:
            model = self._runtime.service.model(name)
        except ModelNotFound:
            return SERVICE_UNKNOWN
        except ModelNotReady:
            return NOT_SERVING
        problems = [*model.worker_problems(), *model.self_test_problems()]
        return NOT_SERVING if problems or self._runtime.repository.draining else SERVING


def _dump(status: str) -> bytes:
    return bytes(messages.HealthCheckResponse(status=status).SerializeToString())
