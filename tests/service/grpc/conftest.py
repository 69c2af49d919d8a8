"""The service around a fake engine, over HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.conftest import Serve, Service
from tests.service.grpc.client import Client, client_of


@pytest.fixture
def service(serve: Serve) -> Service:
    return serve(grpc_port=0)


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with client_of(service) as client:
        yield client
