"""What is refused before it is routed, through the whole service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.fakes import FakeEngine


@pytest.fixture
def busy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Whose device is a hundred seconds behind."""
    service = serve(FakeEngine(), queue_wait_limit_seconds=50)
    monkeypatch.setattr(type(service.model._admission), "wait_seconds", 100.0)
    return service


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
    busy: Service, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    assert [post(busy).status_code for _ in range(20)] == [503] * 20
    (line,) = [line for line in log_lines() if line["logger"].startswith("service.")]
    assert line["message"].startswith("1 refused, the last of them: The wait is about 100.0 s")


def test_what_it_cannot_tell_goes_on_to_the_route(busy: Service) -> None:
    assert post(busy, f"/predict?model={MODEL_NAME}").status_code == 503
    assert post(busy, "/predict?model=another").status_code == 404
    assert post(busy, **{"X-Request-Timeout-Ms": "soon"}).status_code == 422
    assert busy.client.get("/predict").status_code == 405
    assert busy.client.get("/health/live").status_code == 200
