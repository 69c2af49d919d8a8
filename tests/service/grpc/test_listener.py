"""gRPC's listener is open while the service is ready, so that a balancer asks another replica."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from service.grpc import server as of_grpc
from service.inference.model import Model
from service.inference.repository import OK, Health
from service.inference.runtime import Runtime
from tests.service.conftest import MODEL_NAME, MakeModel, Serve, TestClient, is_open
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.grpc.client import INFER, Client, client_of, floats, infer_request
from tests.service.images import plain

RED = plain("red")


def test_it_is_closed_while_the_model_is_loading(
    make_model: MakeModel, start_app: Callable[..., TestClient]
) -> None:
    loaded = threading.Event()

    def load(name: str) -> Model:
        assert loaded.wait(WAIT_SECONDS)
        return make_model(name)

    http = start_app(load, grpc_port=0)
    app: Any = http.app
    port = app.state.grpc_port
    assert http.get("/health/live").status_code == 200
    assert not is_open(port)
    loaded.set()
    eventually(lambda: is_open(port))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert Client(channel).call(INFER, infer_request(RED, name=MODEL_NAME))


def test_it_is_closed_while_the_service_is_not_ready(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being answered is finished."""
    monkeypatch.setattr(of_grpc, "UNREADY_SECONDS", 0.2)
    monkeypatch.setattr(of_grpc, "UNREADY_GRACE_SECONDS", WAIT_SECONDS)
    service = serve(grpc_port=0)
    runtime: Runtime = service.app.state.runtime
    port = service.app.state.grpc_port
    problem = [OK]
    checks = runtime.repository.health
    with client_of(service) as client, service.engine.blocked():
        sent = infer_request(RED).SerializeToString()
        answer = client.channel.unary_unary(f"/{INFER}").future(sent, timeout=WAIT_SECONDS)
        service.engine.wait_until_busy()
        health = checks()
        monkeypatch.setattr(
            runtime.repository,
            "health",
            lambda: type(health)({**health.checks, "workers": problem[0]}),
        )
        problem[0] = "a worker hangs"
        eventually(lambda: not is_open(port))
        service.engine.release()
        assert answer.result(WAIT_SECONDS)
    problem[0] = OK
    eventually(lambda: is_open(port))
    with client_of(service) as client:
        assert floats(client.call(INFER, infer_request(RED))).argmax() == 0


def test_it_is_open_while_the_service_drains(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_grpc, "UNREADY_SECONDS", -1.0)
    service = serve(grpc_port=0)
    runtime: Runtime = service.app.state.runtime
    health, asked = runtime.health, list[bool]()

    def noted() -> Health:
        asked.append(True)
        return health()

    monkeypatch.setattr(runtime, "health", noted)
    runtime.drain()
    eventually(lambda: len(asked) > 3)
    with client_of(service) as client:
        assert floats(client.call(INFER, infer_request(RED))).argmax() == 0
    runtime.begin_stop()
    eventually(lambda: not is_open(service.app.state.grpc_port))
