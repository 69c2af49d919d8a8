"""Calls and requests of HTTP take the same turns on the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from service.fairness.pacing import ALLOWANCE_SECONDS, Pacer
from service.grpc import methods
from service.grpc.protos import inference_pb2 as v2
from service.grpc.services import streams
from tests.service.conftest import Service
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.grpc.client import INFER, V2, Client, infer_request
from tests.service.http.middleware.test_pacing import pacer_of
from tests.service.images import plain

FLOOD = "127.0.0.1"
RED = plain("red")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@contextmanager
def beyond_its_share(
    service: Service, client: Client, pool: ThreadPoolExecutor, patch: pytest.MonkeyPatch
) -> Iterator[Pacer]:
    """The client of gRPC owes, while the image of a client of HTTP is on the device."""
    patch.setattr(methods, "MOST_SECONDS", WAIT_SECONDS)
    patch.setattr(streams, "MOST_SECONDS", WAIT_SECONDS)
    assert client.call(f"{V2}/ServerMetadata", v2.ServerMetadataRequest())
    pacer = pacer_of(service)

    def has_paid() -> bool:
        """The first request of all makes tables of routes, for more than the allowance."""
        assert service.client.get("/health/live").status_code == 200
        owed = (client.tag - pacer._debts.virtual_time for client in pacer._clients.values())
        return max(owed) < ALLOWANCE_SECONDS / 2

    eventually(has_paid)
    patch.setattr(pacer._debts, "_share", 1e-9)
    pacer._debts.charge(pacer._clients[FLOOD], 2 * ALLOWANCE_SECONDS)
    files = {"file": ("image.png", RED, "image/png")}
    with service.engine.blocked():
        answer = pool.submit(service.client.post, "/predict", files=files)
        service.engine.wait_until_busy()
        yield pacer
        service.engine.release()
        assert answer.result(WAIT_SECONDS).status_code == 200
    # For a while after its image the client of HTTP is still served.
    eventually(lambda: pacer.waiting == 0)


def infer(client: Client) -> Any:
    return client.call(INFER, infer_request(RED))


def stream(client: Client) -> Any:
    return list(client.stream([infer_request(RED)]))


@pytest.mark.parametrize("call", [infer, stream])
def test_a_call_waits_for_a_request_of_another_client(
    service: Service,
    client: Client,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[Client], Any],
) -> None:
    waiting: Future[Any]
    with beyond_its_share(service, client, pool, monkeypatch) as pacer:
        waiting = pool.submit(call, client)
        eventually(lambda: pacer.waiting == 1)
        assert not waiting.done()
    assert waiting.result(WAIT_SECONDS)


def test_a_probe_waits_a_short_time_only(
    service: Service, client: Client, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with beyond_its_share(service, client, pool, monkeypatch):
        assert client.call(f"{V2}/ServerLive", v2.ServerLiveRequest()).live


def test_a_stream_that_waits_for_its_client_holds_nobody_back(
    service: Service, client: Client
) -> None:
    ends = threading.Event()

    def sent() -> Iterator[Any]:
        yield infer_request(RED)
        ends.wait(WAIT_SECONDS)

    assert service.client.get("/health/live").status_code == 200
    answers = client.stream(sent())
    assert next(answers).infer_response.model_name
    eventually(lambda: pacer_of(service)._clients[FLOOD].served == 0)

    def nobody_is_first() -> bool:
        """Once its image is a while ago, which the pacer sees with the next request."""
        service.client.get("/health/live")
        return pacer_of(service)._first == 0

    eventually(nobody_is_first)
    ends.set()
    assert list(answers) == []
