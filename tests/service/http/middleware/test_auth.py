"""API keys and rate limits, through the whole service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from service.auth.access import Access
from service.auth.api_keys import hash_of
from service.auth.rate_limit import RateLimit
from service.http.middleware.auth import AuthMiddleware
from service.observability.metrics import Metrics
from tests.service.conftest import MODEL_NAME, Serve, Service, TestClient
from tests.service.images import plain

RED = plain("red")
OPEN = ("/health/live", "/health/ready", "/metrics")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(
        f"# who may ask\n{hash_of('alpha')}  shop\n\n{hash_of('beta')} old-shop off  # left\n"
    )
    return path


def auth_of(limit: RateLimit) -> AuthMiddleware:
    """Without keys, around an application that always answers."""
    return AuthMiddleware(PlainTextResponse("in"), Access(None, limit, limit), Metrics())


def status(service: Service, path: str = "/models", **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    found: int = service.client.get(path, headers=given).status_code
    return found


def send(service: Service, images: int, key: str) -> httpx2.Response:
    files = [("file", ("red.png", RED, "image/png"))] * images
    found: httpx2.Response = service.client.post(
        "/predict", files=files, headers={"X-API-Key": key}
    )
    return found


def test_without_a_set_up_everybody_may_ask(service: Service) -> None:
    assert [status(service) for _ in range(50)] == [200] * 50


def test_a_key_opens_and_nothing_else_does(serve: Serve, key_file: Path) -> None:
    service = serve(api_keys_file=key_file)
    assert status(service, Authorization="Bearer alpha") == 200
    assert status(service, X_API_Key="alpha") == 200
    assert status(service, Authorization="Bearer gamma") == 401
    assert status(service, Authorization="Basic alpha") == 401
    assert status(service, Authorization=f"Bearer {hash_of('alpha')}") == 401
    assert [status(service, path) for path in ("/models", "/predict", "/x", "/docs2")] == [401] * 4
    open_paths = ("/", "/page/base.css", "/page/main.js", "/docs", "/redoc", "/openapi.json")
    assert [status(service, path) for path in open_paths] == [200] * 6
    assert status(service, "/static-offline-docs/swagger-ui.css") == 200
    assert status(service, Authorization="Bearer beta") == 403
    assert [status(service, path) for path in OPEN] == [200] * 3
    response = service.client.get("/models")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "unauthorized"
    assert response.json()["request_id"] == response.headers["X-Request-ID"]
    assert service.sample("resnet_rejections_total", reason="forbidden") == 1


def test_a_bucket_empties_at_once_and_fills_by_and_by() -> None:
    clock = Clock()
    limit = RateLimit(2, 3, clock)
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.take("b") == 0
    clock.now += 0.25
    assert limit.take("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert limit.take("a") == 0
    clock.now += 3600
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_ten_thousand_clients_are_remembered_and_no_more() -> None:
    limit = RateLimit(1, 1, Clock())
    for number in range(10_001):
        assert limit.take(str(number)) == 0
    assert limit.take("1") == 1
    assert limit.take("10000") == 1
    assert limit.take("0") == 0


def test_who_asks_too_often_waits_and_others_do_not(serve: Serve, key_file: Path) -> None:
    key_file.write_text(f"{hash_of('alpha')} shop\n{hash_of('gamma')} bank\n")
    service = serve(api_keys_file=key_file, rate_limit_per_second=0.01, rate_limit_burst=2)
    asked = [status(service, X_API_Key="alpha") for _ in range(3)]
    assert asked == [200, 200, 429]
    assert status(service, X_API_Key="gamma") == 200
    response = service.client.get("/models", headers={"X-API-Key": "alpha"})
    assert response.json()["code"] == "rate_limited"
    assert response.json()["detail"].startswith("shop has sent too many requests.")
    assert 90 <= int(response.headers["Retry-After"]) <= 100
    assert [status(service, path) for path in OPEN * 5] == [200] * 15


def test_who_has_no_good_key_is_limited_by_address(
    serve: Serve, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the settings limit; and a good key from the same address is not refused for it."""
    # No other token comes while a busy machine answers.
    monkeypatch.setattr("service.auth.access.STRANGERS_PER_SECOND", 0.01)
    service = serve(api_keys_file=key_file, rate_limit_burst=3)
    wrong = [status(service, X_API_Key=f"guess{number}") for number in range(5)]
    assert wrong == [401, 401, 401, 429, 429]
    assert status(service) == 429
    assert status(service, X_API_Key="beta") == 429
    assert [status(service, X_API_Key="alpha") for _ in range(10)] == [200] * 10
    response = service.client.get("/models")
    assert response.json()["code"] == "rate_limited"
    assert int(response.headers["Retry-After"]) >= 1


def test_images_are_counted_and_not_requests(serve: Serve, key_file: Path) -> None:
    """Of a burst of four, a form of six leaves a debt of two."""
    key_file.write_text(f"{hash_of('alpha')} shop\n{hash_of('gamma')} bank\n")
    service = serve(api_keys_file=key_file, rate_limit_per_second=0.01, rate_limit_burst=4)
    assert send(service, 6, "alpha").status_code == 200
    refused = send(service, 1, "alpha")
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate_limited"
    assert 290 <= int(refused.headers["Retry-After"]) <= 300
    assert send(service, 3, "gamma").status_code == 200
    assert send(service, 1, "gamma").status_code == 200
    assert send(service, 1, "gamma").status_code == 429
    assert service.sample("resnet_rejections_total", reason="rate_limited") == 2
    assert service.sample("resnet_images_total", model=MODEL_NAME, result="ok") == 6 + 3 + 1


def test_a_request_whose_debt_was_made_meanwhile_is_refused(serve: Serve) -> None:
    """Another request of its client had its images counted between its token and its body."""
    service = serve(rate_limit_per_second=0.01, rate_limit_burst=4)
    limit = service.app.state.rate_limit

    def body() -> Iterator[bytes]:
        limit.take_for_images("unknown", 9)
        yield RED

    headers = {"Content-Type": "image/png"}
    response = service.client.post("/predict", content=body(), headers=headers)
    assert response.status_code == 429
    assert response.json()["detail"].startswith("unknown has sent too many images.")
    assert service.engine.batches == []


def test_without_keys_a_client_is_its_address(serve: Serve) -> None:
    service = serve(rate_limit_per_second=0.01, rate_limit_burst=1)
    assert [status(service), status(service)] == [200, 429]


def test_an_address_is_one_client_from_whichever_port() -> None:
    gate = auth_of(RateLimit(1, 1, Clock()))
    addresses = (("192.0.2.1", 1000), ("192.0.2.1", 1001), ("192.0.2.2", 1001))
    clients = [TestClient(gate, client=address) for address in addresses]
    assert [client.get("/models").status_code for client in clients] == [200, 429, 200]


def test_what_comes_over_a_unix_socket_has_no_address_and_shares_a_limit() -> None:
    gate = auth_of(RateLimit(1, 1, Clock()))

    async def without_address(scope: Scope, receive: Receive, send: Send) -> None:
        await gate({**scope, "client": None}, receive, send)

    client = TestClient(without_address)
    assert [client.get("/models").status_code for _ in range(2)] == [200, 429]
