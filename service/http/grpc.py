"""The gRPC server beside the HTTP one: it starts and ends with the application."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from service.auth.access import Access
from service.fairness.answer_budget import AnswerBudget
from service.fairness.pacing import Pacer
from service.http.connection.bounds import grpc_connections
from service.inference.runtime import Runtime
from service.observability.tracing import Spans
from service.system.certificate import Certificate


class GrpcUnavailable(Exception):
    """RESNET_GRPC_PORT is set, and what gRPC needs is not installed."""


def check_grpc() -> None:
    """Raises GrpcUnavailable where gRPC can't be served."""
    # Its own log is not in the service's format, and clients could fill it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        import_module("service.grpc.server")
    except ModuleNotFoundError as error:
        raise GrpcUnavailable(
            f"RESNET_GRPC_PORT is set, and {error.name} is not installed: "
            "pip install grpcio grpcio-reflection protobuf, or leave RESNET_GRPC_PORT empty."
        ) from error


@asynccontextmanager
async def serving_grpc(
    runtime: Runtime,
    access: Access,
    spans: Spans | None,
    certificate: Certificate | None,
    pacer: Pacer,
    answers: AnswerBudget,
) -> AsyncIterator[int | None]:
    """Serves gRPC meanwhile, where the settings say so, and gives its port.

    Raises OSError where it can't listen, or GrpcUnavailable.
    """
    if runtime.settings.grpc.grpc_port is None:
        yield None
        return
    check_grpc()
    from service.grpc.server import GrpcServer

    connections = grpc_connections(runtime.settings)
    server = GrpcServer(
        runtime,
        access,
        spans,
        certificate,
        pacer=pacer,
        answers=answers,
        max_connections=connections,
    )
    async with server.serving() as port:
        yield port
