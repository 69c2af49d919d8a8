"""HEAD wherever there is GET."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.service.conftest import MODEL_NAME, Serve, Service, listening
from tests.service.fakes import WAIT_SECONDS

NOT_FOR_BROWSERS = ("/", "/page/base.css", "/page/main.js", "/docs", "/redoc", "/openapi.json")


def paths_of(service: Service) -> list[str]:
    """Every path with GET, of which the document has most."""
    described = service.app.openapi()["paths"]
    found = [path for path, methods in described.items() if "get" in methods]
    return [path.format(name=MODEL_NAME) for path in found] + [*NOT_FOR_BROWSERS]


def exchange(port: int, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)) as client:
        client.request(method, path, headers={"X-Request-ID": "mine"})
        response = client.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read()


def test_it_has_the_headers_of_get_and_no_body(service: Service) -> None:
    paths = paths_of(service)
    assert len(paths) > 20
    with listening(service.app) as port:
        for path in paths:
            status, headers, body = exchange(port, "GET", path)
            head_status, head_headers, nothing = exchange(port, "HEAD", path)
            assert (head_status, nothing) == (status, b""), path
            assert status == 200, path
            assert body
            assert head_headers.keys() == headers.keys()
            assert head_headers["content-type"] == headers["content-type"]
            # The metrics count the request before.
            if path not in ("/metrics",):
                assert int(head_headers["content-length"]) == len(body), path


def test_the_connection_goes_on(service: Service) -> None:
    """Were a body sent, it would be read as the next response."""
    with listening(service.app) as port:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
        with closing(client):
            for path in ("/models", "/v2", "/nope", "/models"):
                client.request("HEAD", path)
                response = client.getresponse()
                assert response.read() == b""
                assert response.status == (404 if path == "/nope" else 200)


@pytest.mark.parametrize("path", ["/predict", f"/v2/models/{MODEL_NAME}/infer"])
def test_what_has_no_get_has_no_head(service: Service, path: str) -> None:
    response = service.client.head(path)
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/models", "/v2", f"/v1/models/{MODEL_NAME}/metadata"])
def test_what_has_get_says_that_it_has_head(service: Service, path: str) -> None:
    assert service.client.delete(path).headers["Allow"] == "GET, HEAD"


def test_it_is_counted_and_logged_as_head(
    service: Service, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    assert service.client.head(f"/models/{MODEL_NAME}").status_code == 200
    labels = {"route": "/models/{name}", "method": "HEAD", "status": "200"}
    assert service.sample("resnet_http_requests_total", **labels) == 1
    assert log_lines()[-1]["message"] == "HEAD /models/{name} 200"


def test_the_document_has_get_alone(serve: Serve) -> None:
    for methods in serve().app.openapi()["paths"].values():
        assert "head" not in methods
