"""What holds on every path: API keys, limits on headers, request ids, metrics, the log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from service.auth.api_keys import hash_of
from service.http.middleware.header_limits import MAX_FIELDS, MAX_TARGET_BYTES
from service.http.paths import needs_key
from service.http.protocols.errors import statuses_on
from tests.service.conftest import MODEL_NAME, Serve, Service, TestClient

V2, V1 = "/v2/models/{name}", "/v1/models/{name}"
V2_VERSION = V2 + "/versions/{version}"
V1_ALL = (V1, V1 + "/versions/{version}", V1 + "/labels/{label}")


class Route(NamedTuple):
    """status: of a request without a body. named: in metrics and the log; "" for the path."""

    method: str
    path: str
    status: int = 200
    named: str = ""

    @property
    def url(self) -> str:
        return self.path.format(name=MODEL_NAME, version="1", label="stable")


ROUTES = [
    *(Route("GET", path) for path in ("/", "/docs", "/redoc")),
    *(Route("GET", f"/page/{name}", named="/page/{name}") for name in ("main.js", "base.css")),
    Route("GET", "/openapi.json", named="other"),
    *(Route("GET", f"/health/{name}") for name in ("live", "ready")),
    Route("GET", "/metrics"),
    *(Route("GET", f"/models{rest}") for rest in ("", "/{name}", "/{name}/labels")),
    Route("POST", "/predict", 415),
    *(Route("GET", f"/v2{rest}") for rest in ("", "/health/live", "/health/ready", "/models")),
    Route("GET", "/v2/models/stats"),
    *(
        Route("GET", base + rest)
        for base in (V2, V2_VERSION)
        for rest in ("", "/config", "/ready", "/stats")
    ),
    *(Route("POST", f"{base}/infer", 400) for base in (V2, V2_VERSION)),
    Route("POST", "/v2/repository/index"),
    Route("GET", "/v1/models"),
    Route("POST", "/v1/embeddings", 400),
    *(Route("GET", base + rest) for base in V1_ALL for rest in ("", "/metadata")),
    *(Route("POST", base + rest, 400) for base in V1_ALL for rest in (":predict", ":classify")),
]
each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: " ".join(route[:2]))


def send(client: TestClient, route: Route, url: str = "", **headers: str) -> httpx2.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    response: httpx2.Response = client.request(route.method, url or route.url, headers=given)
    return response


def assert_form(response: httpx2.Response, path: str) -> None:
    """An error in the form of the path's protocol."""
    tensor = statuses_on(path) is not None
    expected = "application/json" if tensor else "application/problem+json"
    assert response.headers["Content-Type"] == expected
    assert ("error" if tensor else "code") in response.json()


def test_every_route_is_here(service: Service) -> None:
    described = {
        (method.upper(), path)
        for path, methods in service.app.openapi()["paths"].items()
        for method in methods
    }
    assert described <= {(route.method, route.path) for route in ROUTES}


@each_route
def test_it_has_an_id_a_metric_and_a_line_in_the_log(
    service: Service, log_lines: Callable[[], list[dict[str, Any]]], route: Route
) -> None:
    response = send(service.client, route, X_Request_ID="mine")
    assert response.status_code == route.status
    assert response.headers["X-Request-ID"] == "mine"
    name = route.named or route.path
    labels = {"route": name, "method": route.method, "status": str(route.status)}
    assert service.sample("resnet_http_requests_total", **labels) == 1
    assert service.sample("resnet_http_request_duration_seconds_count", route=name) == 1
    if not route.path.startswith(("/health", "/metrics", "/v2/health")):
        line = log_lines()[-1]
        assert line["message"] == f"{route.method} {name} {route.status}"
        assert line["request_id"] == "mine"


@each_route
def test_it_needs_a_key_or_is_public(serve: Serve, tmp_path: Path, route: Route) -> None:
    (tmp_path / "keys").write_text(f"{hash_of('alpha')} shop\n{hash_of('beta')} old off\n")
    client = serve(api_keys_file=tmp_path / "keys").client
    public = not needs_key(route.path)
    for headers, refusal in (({}, 401), ({"X_API_Key": "nope"}, 401), ({"X_API_Key": "beta"}, 403)):
        response = send(client, route, **headers)
        assert response.status_code == (route.status if public else refusal)
        if not public:
            assert_form(response, route.url)
    assert send(client, route, Authorization="Bearer alpha").status_code == route.status


@each_route
def test_it_counts_for_the_rate_limit_or_is_public(serve: Serve, route: Route) -> None:
    client = serve(rate_limit_per_second=0.001, rate_limit_burst=1).client
    statuses = [send(client, route).status_code for _ in range(2)]
    assert statuses == [route.status, route.status if not needs_key(route.path) else 429]


@each_route
def test_its_header_and_target_are_limited(service: Service, route: Route) -> None:
    fields = {f"X-{number}": "x" for number in range(MAX_FIELDS + 1)}
    long = route.url + "?a=" + "x" * MAX_TARGET_BYTES
    for response, status in (
        (send(service.client, route, **fields), 431),
        (send(service.client, route, long), 414),
        (send(service.client, route, X_Long="x" * 9000), 431),
    ):
        assert response.status_code == status
        assert_form(response, route.url)
