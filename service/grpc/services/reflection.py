"""grpc.reflection.v1alpha: the services and messages, for programs such as grpcurl."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from grpc_reflection.v1alpha import reflection, reflection_pb2

from service.grpc.call import Call
from service.grpc.protos.pool import POOL
from service.grpc.wire import parse

SERVICE = "grpc.reflection.v1alpha.ServerReflection"
IDLE_SECONDS = 60.0


class Reflection:
    """services: their full names."""

    def __init__(self, services: Iterable[str]) -> None:
        self._servicer = reflection.aio.ReflectionServicer(sorted(services), pool=POOL)

    async def handle(self, call: Call) -> None:
        async for answer in self._servicer.ServerReflectionInfo(_requests(call), None):
            await call.send(answer.SerializeToString())


async def _requests(call: Call) -> AsyncIterator[Any]:
    kind = reflection_pb2.ServerReflectionRequest
    while (message := await call.receive_next(IDLE_SECONDS)) is not None:
        with message:
            request, _ = parse(kind, message.data, {})
        yield request
