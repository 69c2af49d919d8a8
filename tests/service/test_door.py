"""What is refused before it is routed, through the whole service."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from service.errors import QueueFull
from service.model import Model
from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.fakes import FakeEngine


@pytest.fixture
def busy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Whose device is a hundred seconds behind."""
    service = serve(FakeEngine(), queue_wait_limit_seconds=50)
    monkeypatch.setattr(type(service.model._admission), "wait_seconds", 100.0)
    return service


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Near 0, as on a machine that has just been started."""
    clock = SimpleNamespace(now=0.0)
    for name in ("service.door.time", "service.admission.time"):
        monkeypatch.setattr(name, SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def post(service: Service, path: str = "/predict", **headers: str) -> Any:
    given = {"Content-Type": "image/png", **headers}
    return service.client.post(path, content=b"no picture", headers=given)


def test_a_refusal_is_a_problem_with_its_id_and_is_counted(busy: Service) -> None:
    response = post(busy, **{"X-Request-ID": "mine"})
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-ID"] == response.json()["request_id"] == "mine"
    assert response.json()["code"] == "overloaded"
    assert response.headers["Retry-After"] == "50"
    assert busy.sample("resnet_rejections_total", reason="overloaded") == 1
    labels = {"route": "/predict", "method": "POST", "status": "503"}
    assert busy.sample("resnet_http_requests_total", **labels) == 1


def test_refusals_share_a_line_of_the_log(
    busy: Service, clock: SimpleNamespace, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    for clock.now in (0.0, 1.0, 9.9, 10.0, 10.1):
        assert post(busy).status_code == 503
    first, second = [line for line in log_lines() if line["logger"].startswith("service.")]
    assert first["message"].startswith("1 refused, the last of them: The wait is about 100.0 s")
    assert second["message"].startswith("3 refused")
    clock.now = 20.0
    post(busy)
    assert log_lines()[-1]["message"].startswith("2 refused")


def test_what_it_cannot_tell_goes_on_to_the_route(busy: Service) -> None:
    assert post(busy, f"/predict?model={MODEL_NAME}").status_code == 503
    assert post(busy, "/predict?model=another").status_code == 404
    assert post(busy, "/predict?model=").status_code == 404
    # The last one holds, as for the route.
    assert post(busy, f"/predict?model=another&model={MODEL_NAME}").status_code == 503
    assert post(busy, f"/predict?model={MODEL_NAME}&model=another").status_code == 404
    assert post(busy, "/elsewhere").status_code == 404
    assert post(busy, **{"X-Request-Timeout-Ms": "soon"}).status_code == 422
    assert busy.client.get("/predict").status_code == 405
    assert busy.client.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    ("headers", "deadline"),
    [
        ({}, 130.0),
        ({"X-Request-Timeout-Ms": "1500"}, 101.5),
        ({"X-Request-Timeout-Ms": "60000"}, 130.0),
    ],
)
def test_it_asks_for_room_for_one_until_the_sooner_deadline(
    serve: Serve,
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    deadline: float,
) -> None:
    asked = []

    def check_room(_: Model, pictures: int, *, deadline: float) -> None:
        asked.append((pictures, deadline))
        raise QueueFull("never mind")

    service, clock.now = serve(request_timeout_seconds=30), 100.0
    monkeypatch.setattr(Model, "check_room", check_room)
    assert post(service, **headers).status_code == 503
    assert asked == [(1, deadline)]
