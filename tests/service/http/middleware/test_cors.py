"""A page of another origin may use the service where the settings say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.auth.api_keys import hash_of
from service.batching.batcher import Batcher
from service.http.headers import RETRY_AFTER
from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import MODEL_NAME, Serve, Service, TestClient
from tests.service.fakes import WAIT_SECONDS
from tests.service.images import plain

SHOP = "https://shop.example"
RED = plain("red")
FROM_SHOP = {"Origin": SHOP, "Content-Type": "image/png"}
ALLOWED = "Access-Control-Allow-Origin"
INFER = f"/v2/models/{MODEL_NAME}/infer"
PATHS = ("/predict", INFER, f"/v1/models/{MODEL_NAME}:predict")
READABLE = {"retry-after", "x-request-id", "server-timing", "inference-header-content-length"}
# What a preflight's answer and a response have of CORS.
CORS = "access-control-"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{hash_of('alpha')} shop\n")
    return path


def preflight(
    client: TestClient, path: str, origin: str = SHOP, method: str = "POST", **headers: str
) -> httpx2.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,x-request-timeout-ms",
        **headers,
    }
    response: httpx2.Response = client.request("OPTIONS", path, headers=asked)
    return response


def exposed(response: httpx2.Response) -> set[str]:
    names: str = response.headers["Access-Control-Expose-Headers"]
    return {name.strip().lower() for name in names.split(",")}


def test_it_is_off_by_default(service: Service) -> None:
    response = service.client.post("/predict", content=RED, headers=FROM_SHOP)
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith(CORS)]
    refused = preflight(service.client, "/predict")
    assert refused.status_code == 405
    assert not [name for name in refused.headers if name.startswith(CORS)]


@pytest.mark.parametrize("path", PATHS)
def test_a_preflight_needs_no_key_and_the_request_does(serve: Serve, keys: Path, path: str) -> None:
    service = serve(cors_origins=f"https://other.example, {SHOP}", api_keys_file=keys)
    allowed = preflight(service.client, path, X_Request_ID="mine")
    assert allowed.status_code == 200
    assert allowed.headers[ALLOWED] == SHOP
    assert {"GET", "HEAD", "POST"} <= {*allowed.headers["Access-Control-Allow-Methods"].split(", ")}
    assert "authorization" in allowed.headers["Access-Control-Allow-Headers"]
    assert "access-control-allow-credentials" not in allowed.headers
    refused = service.client.post(path, content=RED, headers=FROM_SHOP)
    assert refused.status_code == 401
    assert refused.headers[ALLOWED] == SHOP


def test_another_origin_gets_nothing(serve: Serve) -> None:
    service = serve(cors_origins=SHOP)
    for origin in ("https://evil.example", "https://shop.example.evil.example", "null"):
        assert preflight(service.client, "/predict", origin).status_code == 400
        headers = {**FROM_SHOP, "Origin": origin}
        response = service.client.post("/predict", content=RED, headers=headers)
        assert ALLOWED.lower() not in response.headers


def test_any_origin_and_methods_that_are_not_served(serve: Serve) -> None:
    service = serve(cors_origins="*")
    assert preflight(service.client, "/predict", "https://any.example").headers[ALLOWED] == "*"
    assert preflight(service.client, "/predict", method="DELETE").status_code == 400
    for path in ("/models", "/health/ready", "/v2", "/openapi.json"):
        response = service.client.get(path, headers=FROM_SHOP)
        assert (response.status_code, response.headers[ALLOWED]) == (200, "*")
    # Of no other origin's page, and of no browser.
    assert ALLOWED.lower() not in service.client.get("/models").headers


@pytest.mark.parametrize("path", PATHS)
def test_a_page_can_read_when_to_try_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Also in a refusal before the body is read."""
    service = serve(cors_origins=SHOP, queue_wait_limit_seconds=50)
    monkeypatch.setattr(Batcher, "seconds_until", lambda *_, **__: 100.0)
    response = service.client.post(path, content=RED, headers=FROM_SHOP)
    assert response.status_code == 503
    assert response.headers[ALLOWED] == SHOP
    assert response.headers[RETRY_AFTER] == "50"
    assert exposed(response) >= READABLE
    assert "Origin" in response.headers["Vary"]


def test_errors_and_limits_can_be_read_too(serve: Serve) -> None:
    service = serve(cors_origins=SHOP)
    for path, headers in (
        ("/nope", {}),
        ("/predict?a=" + "x" * 5000, {}),
        ("/predict", {f"X-{number}": "x" for number in range(200)}),
    ):
        response = service.client.post(path, content=RED, headers={**FROM_SHOP, **headers})
        assert response.status_code in (404, 414, 431)
        assert response.headers[ALLOWED] == SHOP
        assert response.headers["X-Request-ID"]


def test_a_preflight_is_limited_and_logged_as_other_requests(
    serve: Serve, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    service = serve(cors_origins=SHOP)
    assert preflight(service.client, "/predict", **{"X-Request-ID": "mine"}).status_code == 200
    assert (log_lines()[-1]["request_id"], log_lines()[-1]["status"]) == ("mine", 200)
    assert preflight(service.client, "/predict", **{"X-Long": "x" * 9000}).status_code == 431
    labels = {"route": "other", "method": "other", "status": "200"}
    assert service.sample("resnet_http_requests_total", **labels) == 1


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("path", PATHS)
def test_a_refusal_that_nginx_passes_on_can_be_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    service = serve(cors_origins=SHOP, queue_wait_limit_seconds=50, trusted_proxies="127.0.0.1")
    monkeypatch.setattr(Batcher, "seconds_until", lambda *_, **__: 100.0)
    monkeypatch.setattr(type(service.model), "images_per_second", 0.001)
    with behind_nginx(service.app) as port:
        for _ in range(3):
            response = httpx2.post(
                f"http://127.0.0.1:{port}{path}",
                content=json.dumps({}),
                headers=FROM_SHOP,
                timeout=WAIT_SECONDS,
            )
            assert response.status_code == 503
            assert response.headers[ALLOWED] == SHOP
            assert response.headers[RETRY_AFTER] == "50"
            assert exposed(response) >= READABLE
