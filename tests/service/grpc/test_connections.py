"""Hundreds of connections of gRPC from one address, to the service alone and through nginx."""

from __future__ import annotations

import contextlib
from pathlib import Path

import grpc
import httpx2
import pytest

from service.grpc.protos import health_pb2 as health
from service.http.connection.bounds import grpc_connections
from service.settings import Settings
from tests.nginx import NGINX, free_port
from tests.service.certificates import needs_openssl
from tests.service.conftest import Serve
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.grpc.client import HEALTH, INFER, Client, floats, infer_request
from tests.service.grpc.raw_calls import call, connect, has_answered
from tests.service.grpc.test_nginx import in_front_of
from tests.service.http.connection.test_descriptors import LIMIT, running_server
from tests.service.images import plain

RED = plain("red")
MANY = 300
OTHER_ADDRESS = "127.0.0.2"
SERVING = health.HealthCheckResponse(status="SERVING").SerializeToString()

needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


def serves_grpc(port: int) -> bool:
    with contextlib.suppress(OSError), connect(port) as connection:
        call(connection, f"{HEALTH}/Check", b"")
        return has_answered(connection, SERVING)
    return False


@pytest.mark.parametrize("max_connections", [1000, ""])
def test_http_has_descriptors_whatever_connects_to_grpc(
    tmp_path: Path, max_connections: object
) -> None:
    """gRPC itself would take the last one. Who was connected to it is served."""
    port = free_port()
    running = running_server(tmp_path, "auto", grpc_port=port, max_connections=max_connections)
    with running as server, contextlib.ExitStack() as stack:
        eventually(lambda: serves_grpc(port))
        first = stack.enter_context(connect(port))
        call(first, f"{HEALTH}/Check", b"")
        assert has_answered(first, SERVING)
        for _ in range(MANY):
            stack.enter_context(connect(port))
        eventually(lambda: not serves_grpc(port))
        for path in ("/health/live", "/health/ready", "/models"):
            assert server.status(path) == 200
        files = {"file": ("red.png", RED, "image/png")}
        answer = httpx2.post(f"http://127.0.0.1:{server.port}/predict", files=files)
        assert answer.status_code == 200
        call(first, f"{HEALTH}/Check", b"", stream=3)
        assert has_answered(first, SERVING)
        stack.close()
        eventually(lambda: serves_grpc(port))


def test_grpc_has_a_quarter_of_what_descriptors_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.http.connection.descriptors.descriptor_limit", lambda: LIMIT)
    assert grpc_connections(Settings.of(max_connections=1000)) == LIMIT // 2 // 4
    assert grpc_connections(Settings.of(max_connections=8)) == 2
    assert grpc_connections(Settings.of(max_connections=1)) == 1


@needs_nginx
@needs_openssl
def test_idle_connections_to_nginx_are_none_of_a_replica_s(serve: Serve) -> None:
    """The replica takes two."""
    service = serve(grpc_port=0, max_connections=8)
    with in_front_of(service) as front, contextlib.ExitStack() as stack:
        for _ in range(MANY):
            stack.enter_context(connect(front.port, OTHER_ADDRESS))
        with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
            assert floats(Client(channel).call(INFER, infer_request(RED))).argmax() == 0


@needs_nginx
@needs_openssl
def test_nginx_limits_the_calls_of_an_address(serve: Serve) -> None:
    service = serve(grpc_port=0, trusted_proxies="127.0.0.1")
    rules = {"limit_conn clients 256;": "limit_conn clients 2;"}
    with (
        in_front_of(service, rules=rules) as front,
        grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel,
        service.engine.blocked(),
    ):
        infer = channel.unary_unary(f"/{INFER}")
        sent = infer_request(RED).SerializeToString()
        waiting = [infer.future(sent, timeout=WAIT_SECONDS)]
        # Or both might be one batch.
        service.engine.wait_until_busy()
        waiting.append(infer.future(sent, timeout=WAIT_SECONDS))
        eventually(lambda: service.model.queue_depth == 1)
        code, text = Client(channel).refusal(INFER, infer_request(RED))
        assert (code, text) == (
            "RESOURCE_EXHAUSTED",
            "This address has as many calls open as it may.",
        )
        with connect(front.port, OTHER_ADDRESS) as other:
            call(other, f"{HEALTH}/Check", b"")
            assert has_answered(other, SERVING)
        service.engine.release()
        assert all(one.result(WAIT_SECONDS) for one in waiting)
