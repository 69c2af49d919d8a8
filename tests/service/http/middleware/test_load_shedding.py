"""What is refused before it is a request, over a real socket."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from service.batching.admission import Admission
from service.batching.batcher import Batcher
from service.errors import QueueFull
from service.http.middleware.load_shedding import LoadSheddingMiddleware, RetryBudget
from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import MODEL_NAME, Serve, Service, listening
from tests.service.fakes import WAIT_SECONDS, FakeEngine
from tests.service.http.loop_work import request_work
from tests.service.http.opened_bodies import opened_bodies


@pytest.fixture
def busy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Whose device is a hundred seconds behind."""
    service = serve(FakeEngine(), queue_wait_limit_seconds=50, trusted_proxies="127.0.0.1")
    monkeypatch.setattr(Batcher, "seconds_until", lambda *_, **__: 100.0)
    return service


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Near 0, as on a machine that has just been started."""
    clock = SimpleNamespace(now=0.0)
    for name in ("service.http.middleware.load_shedding.time", "service.batching.admission.time"):
        monkeypatch.setattr(name, SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def port(busy: Service) -> Iterator[int]:
    with listening(busy.app) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_SECONDS) as client:
        yield client


def post(client: httpx2.Client, path: str = "/predict", **headers: str) -> httpx2.Response:
    given = {"Content-Type": "image/png", **headers}
    return client.post(path, content=b"no image", headers=given)


def request(body: bytes, *headers: str, sent: int | None = None) -> bytes:
    lines = ("POST /predict HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join([*lines, "", ""]).encode() + body[:sent]


def answers(connection: socket.socket, count: int) -> list[bytes]:
    """So many, or as many as there are before it is closed."""
    received = b""
    while received.count(b"HTTP/1.1 ") < count or not received.endswith(b"}"):
        part = connection.recv(65536)
        if not part:
            break
        received += part
    return received.split(b"HTTP/1.1 ")[1:]


def test_a_refusal_is_a_problem_with_its_id_and_is_counted(
    busy: Service, client: httpx2.Client
) -> None:
    response = post(client, **{"X-Request-ID": "mine"})
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-ID"] == response.json()["request_id"] == "mine"
    assert response.json()["code"] == "overloaded"
    assert response.headers["Retry-After"] == "50"
    assert busy.sample("resnet_rejections_total", reason="overloaded") == 1
    labels = {"route": "/predict", "method": "POST", "status": "503"}
    assert busy.sample("resnet_http_requests_total", **labels) == 1
    assert busy.sample("resnet_http_request_duration_seconds_count", route="/predict") == 1


def test_it_is_the_problem_that_the_route_answers(
    busy: Service, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"X-Request-ID": "mine", "Content-Type": "image/jpeg"}
    early = post(client, **given)
    monkeypatch.setattr(LoadSheddingMiddleware, "_error", lambda *_: None)
    routed = busy.client.post("/predict", content=b"no image", headers=given)
    assert early.json() == routed.json()
    # The rest is uvicorn's own, which every answer of its has.
    assert {*early.headers.items()} >= {*routed.headers.items()}
    assert "Date" in early.headers


def test_refusals_share_a_line_of_the_log(
    busy: Service,
    client: httpx2.Client,
    clock: SimpleNamespace,
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    for clock.now in (0.0, 1.0, 9.9, 10.0, 10.1):
        assert post(client).status_code == 503
    first, second = [line for line in log_lines() if line["logger"].startswith("service.")]
    assert first["message"].startswith("1 refused; the last one: The wait is about 100.0 s")
    assert first["request_id"] is not None
    assert second["message"].startswith("3 refused")
    clock.now = 20.0
    post(client)
    assert log_lines()[-1]["message"].startswith("2 refused")
    # The clock stood still while it refused.
    assert busy.sample("resnet_http_request_duration_seconds_sum", route="/predict") == 0


def test_a_balancer_is_told_which_refusals_to_repeat(
    busy: Service, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx repeats as many refusals as a replica could answer, and sends the others itself."""
    monkeypatch.setattr(type(busy.model), "images_per_second", 0.001)
    given = {"X-Accel-Refusal": "1", "X-Request-ID": "mine"}
    repeated, said = post(client, **given), post(client, **given)
    assert repeated.status_code == 503
    assert said.headers["X-Accel-Redirect"] == "@refused"
    assert said.headers["Content-Length"] == "0"
    assert json.loads(said.headers["X-Refusal"]) == repeated.json()
    assert said.headers["Retry-After"] == repeated.headers["Retry-After"]


@pytest.mark.parametrize("trusted", ["", "192.0.2.7"])
def test_a_client_is_no_balancer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, trusted: str
) -> None:
    """Whatever it says: it would get status 200 for a refusal."""
    service = serve(FakeEngine(), queue_wait_limit_seconds=50, trusted_proxies=trusted)
    monkeypatch.setattr(Batcher, "seconds_until", lambda *_, **__: 100.0)
    monkeypatch.setattr(type(service.model), "images_per_second", 0.001)
    given = {"X-Accel-Refusal": "1", "X-Forwarded-For": "192.0.2.7"}
    with listening(service.app) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as one:
        for _ in range(5):
            refused = post(one, **given)
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert "X-Accel-Redirect" not in refused.headers


def test_what_another_replica_may_well_do_is_always_repeated(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(FakeEngine(), trusted_proxies="127.0.0.1")
    (entry,) = service.app.state.runtime.repository.entries
    monkeypatch.setattr(entry, "model", None)
    with listening(service.app) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as one:
        answers = [post(one, **{"X-Accel-Refusal": "1"}) for _ in range(50)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (503, "model_not_ready")
    }


def test_so_many_are_repeated_and_so_many_more_a_second() -> None:
    repeats = RetryBudget()
    assert [repeats.take(100.0, 3.0) for _ in range(5)] == [True, True, True, False, False]
    assert [repeats.take(100.4, 3.0) for _ in range(2)] == [True, False]
    assert [repeats.take(200.0, 0.1) for _ in range(2)] == [True, False]
    assert repeats.take(200.0, math.inf)


def test_what_it_cannot_tell_goes_on_to_the_route(client: httpx2.Client) -> None:
    assert post(client, f"/predict?model={MODEL_NAME}").status_code == 503
    assert post(client, "/predict?model=another").status_code == 404
    assert post(client, "/predict?model=").status_code == 422
    # The last one holds, as for the route.
    assert post(client, f"/predict?model=another&model={MODEL_NAME}").status_code == 503
    assert post(client, f"/predict?model={MODEL_NAME}&model=another").status_code == 404
    assert post(client, "/elsewhere").status_code == 404
    assert post(client, **{"X-Request-Timeout-Ms": "soon"}).status_code == 422
    assert client.get("/predict").status_code == 405
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    ("headers", "deadline"),
    [
        ({}, 130.0),
        ({"X-Request-Timeout-Ms": "1500"}, 101.5),
        ({"X-Request-Timeout-Ms": "60000"}, 130.0),
    ],
)
def test_it_asks_for_room_for_one_until_the_sooner_deadline(
    client: httpx2.Client,
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    deadline: float,
) -> None:
    asked = []

    def check(
        _: Admission, images: int, *, deadline: float, client: str | None, body_bytes: int | None
    ) -> None:
        asked.append((images, deadline, client, body_bytes))
        raise QueueFull("never mind")

    clock.now = 100.0
    monkeypatch.setattr(Admission, "check", check)
    assert post(client, **headers).status_code == 503
    assert asked == [(1, deadline, "127.0.0.1", len(b"no image"))]


def test_the_connection_is_kept_and_the_body_skipped(port: int) -> None:
    body = bytes(100_000)
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection:
        connection.sendall(request(body, sent=10))
        assert answers(connection, 1)[0].startswith(b"503")
        connection.sendall(body[10:])
        for _ in range(2):
            connection.sendall(request(body))
            assert answers(connection, 1)[0].startswith(b"503")


def test_who_wants_the_connection_closed_has_it_closed(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection:
        connection.sendall(request(b"x", "Connection: close"))
        (answer,) = answers(connection, 2)
        assert answer.startswith(b"503")


def test_requests_in_a_row_are_answered_in_their_order(port: int) -> None:
    """However many there are: none is begun from within another."""
    ids = [f"number-{number}" for number in range(2000)]
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection:
        first = b"GET /models HTTP/1.1\r\nHost: test\r\n\r\n"
        connection.sendall(first + b"".join(request(b"", f"X-Request-ID: {one}") for one in ids))
        found = answers(connection, 1 + len(ids))
    assert [answer[:3] for answer in found] == [b"200", *[b"503"] * len(ids)]
    for one, answer in zip(ids, found[1:], strict=True):
        assert f'"request_id":"{one}"'.encode() in answer


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")
def test_what_nginx_says_is_the_replicas_own(
    busy: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx repeats three refusals, finds no other replica, and sends the others itself."""
    monkeypatch.setattr(type(busy.model._batcher), "images_per_second", 3.0)
    with (
        behind_nginx(busy.app) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_SECONDS) as client,
    ):
        for _ in range(20):
            response = post(client, **{"X-Request-ID": "mine"})
            assert response.status_code == 503
            assert response.headers["Content-Type"] == "application/problem+json"
            assert response.headers["X-Request-ID"] == "mine"
            assert int(response.headers["Retry-After"]) > 0
            assert "X-Accel-Redirect" not in response.headers
            assert response.json()["code"] == "overloaded"
            assert response.json()["request_id"] == "mine"


def test_a_refusal_is_little_work(busy: Service) -> None:
    """Under overload most requests end so, and what it takes the device lacks."""

    async def app(*_: object) -> None:
        raise AssertionError("it is refused")

    runtime, metrics = busy.app.state.runtime, busy.metrics
    shedding = LoadSheddingMiddleware(app, runtime=runtime, metrics=metrics, keys=None)
    headers = [(b"content-type", b"image/png"), (b"x-request-id", b"mine")]
    for _ in range(2):
        work = request_work(shedding, method="POST", path="/predict", headers=headers)
        assert work.status == 503
    assert work.longest < 300


@pytest.mark.parametrize(
    ("length", "status", "code", "routed"),
    [
        (4_000_000, b"503", b'"memory_full"', False),
        (4_000_001, b"413", b'"payload_too_large"', True),
    ],
)
def test_a_body_without_room_is_refused_before_any_routing(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    status: bytes,
    code: bytes,
    routed: bool,
) -> None:
    """What is too large for any room is refused as that."""
    service = serve(FakeEngine(), max_pending_bytes=8_000_000, max_body_bytes=4_000_000)
    service.app.state.runtime.service.budget.hold("127.0.0.1").take(6_000_000)
    opened = opened_bodies(monkeypatch)
    with (
        listening(service.app) as port,
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection,
    ):
        connection.sendall(request(bytes(length), "Content-Type: image/png", sent=0))
        (answer,) = answers(connection, 1)
    assert answer.startswith(status)
    assert code in answer
    assert bool(opened) == routed
