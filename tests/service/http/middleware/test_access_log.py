"""The middleware around applications that behave in every way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.middleware.access_log import AccessLogMiddleware
from service.observability.logging import request_id
from service.observability.metrics import Metrics
from tests.service.conftest import MODEL_NAME, Service, TestClient
from tests.service.images import plain

LOGGER = "service.http.middleware.access_log"

SCOPE: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}


async def nothing_to_receive() -> Message:
    return {"type": "http.disconnect"}


class Sent:
    """What an application answers."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)


def answered(metrics: Metrics, status: int, route: str = "other") -> float:
    labels = {"route": route, "method": "GET", "status": str(status)}
    return metrics.registry.get_sample_value("resnet_http_requests_total", labels) or 0.0


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(request_id.get() or "no id")(scope, receive, send)


async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise KeyError("secret")


async def half_sent(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise KeyError("secret")


async def cut_off(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise asyncio.CancelledError


def around(app: ASGIApp) -> tuple[TestClient, Metrics]:
    metrics = Metrics()
    return TestClient(AccessLogMiddleware(app, metrics)), metrics


def test_within_a_request_its_id_is_known() -> None:
    client, _ = around(fine)
    response = client.get("/", headers={"X-Request-ID": "mine"})
    assert response.text == "mine"
    assert response.headers["X-Request-ID"] == "mine"
    assert "Connection" not in response.headers
    assert request_id.get() is None


@pytest.mark.parametrize("draining", [False, True])
def test_before_the_end_clients_are_asked_to_leave_the_connection(draining: bool) -> None:
    client = TestClient(AccessLogMiddleware(fine, Metrics(), lambda: draining))
    assert client.get("/").headers.get("Connection") == ("close" if draining else None)


def test_after_a_request_its_id_is_forgotten() -> None:
    async def one_request() -> str | None:
        scope = {**SCOPE, "headers": [(b"x-request-id", b"mine")]}
        await AccessLogMiddleware(fine, Metrics())(scope, nothing_to_receive, Sent())
        return request_id.get()

    assert asyncio.run(one_request()) is None


def test_requests_at_the_same_time_keep_their_ids_apart() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        await fine(scope, receive, send)

    async def all_of_them() -> list[bytes]:
        access = AccessLogMiddleware(app, Metrics())
        sent = [Sent() for _ in range(10)]
        await asyncio.gather(
            *(
                access(
                    {**SCOPE, "headers": [(b"x-request-id", b"id-%d" % index)]},
                    nothing_to_receive,
                    one,
                )
                for index, one in enumerate(sent)
            )
        )
        return [one.messages[1]["body"] for one in sent]

    assert asyncio.run(all_of_them()) == [b"id-%d" % index for index in range(10)]


def test_an_error_that_nothing_caught_is_answered_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client, metrics = around(broken)
    response = client.get("/")
    assert response.status_code == 500
    body = response.json()
    assert (body["code"], body["status"]) == ("internal_error", 500)
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert "secret" not in response.text
    assert "KeyError: 'secret'" in caplog.text
    assert answered(metrics, 500) == 1


def test_half_an_answer_is_broken_off() -> None:
    metrics, sent = Metrics(), Sent()
    with pytest.raises(KeyError):
        asyncio.run(AccessLogMiddleware(half_sent, metrics)(SCOPE, nothing_to_receive, sent))
    assert [message["type"] for message in sent.messages] == ["http.response.start"]
    assert answered(metrics, 200) == 1


def test_a_request_that_is_cut_off_is_counted_as_0() -> None:
    metrics = Metrics()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(AccessLogMiddleware(cut_off, metrics)(SCOPE, nothing_to_receive, Sent()))
    assert answered(metrics, 0) == 1
    assert request_id.get() is None


def test_what_is_no_request_passes_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    metrics = Metrics()
    asyncio.run(AccessLogMiddleware(app, metrics)({"type": "lifespan"}, nothing_to_receive, Sent()))
    assert seen == ["lifespan"]
    assert answered(metrics, 0) == 0


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str, Any]]]:
    """Level, message and status of every line of the access log."""
    caplog.set_level(logging.DEBUG, LOGGER)
    return lambda: [
        (record.levelname, record.getMessage(), getattr(record, "status", None))
        for record in caplog.records
        if record.name == LOGGER
    ]


def test_a_line_for_every_request_and_probes_are_quiet(
    lines: Callable[[], list[tuple[str, str, Any]]],
) -> None:
    def answer(_: Request) -> PlainTextResponse:
        return PlainTextResponse("here")

    class NamedRoute(Route):
        """As FastAPI's, it tells the scope which route matched."""

        def matches(self, scope: Scope) -> Any:
            match, child = super().matches(scope)
            return match, {**child, "route": self}

    paths = ("/models/{name}", "/health/live", "/health/ready", "/metrics")
    client, metrics = around(Starlette(routes=[NamedRoute(path, answer) for path in paths]))
    for path in ("/models/a", "/models/b", "/health/live", "/health/ready", "/metrics", "/x"):
        client.get(path)
    assert lines() == [
        ("INFO", "GET /models/{name} 200", 200),
        ("INFO", "GET /models/{name} 200", 200),
        ("DEBUG", "GET /health/live 200", 200),
        ("DEBUG", "GET /health/ready 200", 200),
        ("DEBUG", "GET /metrics 200", 200),
        ("INFO", "GET unmatched 404", 404),
    ]
    assert answered(metrics, 200, "/models/{name}") == 2


def test_the_line_says_what_was_asked_and_what_it_took(
    service: Service, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    image = plain("red")
    headers = {"Content-Type": "image/png", "X-Request-ID": "mine"}
    answer = service.client.post("/predict", content=image, headers=headers)
    service.client.post("/predict", content=image[:60], headers=headers)
    good, bad = (line for line in log_lines() if line["logger"] == LOGGER)
    assert good["message"] == "POST /predict 200"
    assert (good["request_id"], good["status"], good["model"]) == ("mine", 200, MODEL_NAME)
    assert (good["request_bytes"], good["response_bytes"]) == (len(image), len(answer.content))
    assert good["images"] == 1
    assert set(good["timing_ms"]) == {"decode", "queue", "inference", "total"}
    assert (bad["status"], bad["code"], bad["request_bytes"]) == (422, "invalid_image", 60)


def test_a_request_takes_from_its_arrival_to_its_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(f"{LOGGER}.time", SimpleNamespace(monotonic=lambda: clock.now))
    caplog.set_level(logging.INFO, LOGGER)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        clock.now += 1.23456
        await fine(scope, receive, send)

    client, metrics = around(slow)
    client.get("/")
    assert [getattr(line, "duration_ms", None) for line in caplog.records] == [1234.6]
    taken = metrics.registry.get_sample_value(
        "resnet_http_request_duration_seconds_sum", {"route": "other"}
    )
    assert taken == pytest.approx(1.23456)
