"""Behind a proxy that serves the service under a prefix, which it strips or leaves."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from service.auth.api_keys import hash_of
from service.batching.batcher import Batcher
from service.http.middleware.root_path import RootPathMiddleware
from service.settings.types import OWN_PATHS
from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import MODEL_NAME, Serve, Service, TestClient, listening
from tests.service.fakes import WAIT_SECONDS
from tests.service.images import plain

ROOT = "/apps/resnet"
RED = plain("red")
INFER = f"/v2/models/{MODEL_NAME}/infer"
HTML = {"Accept": "text/html"}
PNG = {"Content-Type": "image/png"}
RAW = {"Inference-Header-Content-Length": "0"}
LINK = re.compile(r'(?:href|src)="([^"#]+)"')
# What takes the place of `location /`, in a proxy that strips the prefix and in one that does not.
STRIPPING = "location /apps/resnet/ {\n proxy_pass http://resnet/;"
LEAVING = "location /apps/resnet/ {\n proxy_pass http://resnet;"
METRICS = "location = /metrics {"
LOCATION = "location / {\n            proxy_pass http://resnet;"


def links_of(page: str, url: str) -> set[str]:
    """What the page's links lead to."""
    (base, *_) = re.findall(r'<base href="([^"]+)">', page) or [""]
    found = {link for link in LINK.findall(page) if not link.startswith("data:")} - {base}
    return {urljoin(urljoin(url, base), link) for link in found}


@pytest.fixture(params=["stripped", "left"])
def prefix(request: pytest.FixtureRequest) -> str:
    """What the paths that arrive here begin with."""
    return {"stripped": "", "left": ROOT}[request.param]


def test_every_kind_of_path_is_found(serve: Serve, prefix: str) -> None:
    client = serve(root_path=ROOT).client
    assert client.post(f"{prefix}/predict", content=RED, headers=PNG).status_code == 200
    assert client.post(f"{prefix}{INFER}", content=RED, headers=RAW).status_code == 200
    for path in ("/", "/models", "/health/live", "/v2", "/v1/models", "/page/main.js", "/docs"):
        assert client.get(prefix + path).status_code == 200, path
    script = client.get(f"{prefix}/static-offline-docs/swagger-ui-bundle.js")
    assert script.status_code == 200
    assert client.get(f"{prefix}/nope").status_code == 404


def test_the_document_and_the_pages_name_the_prefix(serve: Serve, prefix: str) -> None:
    client = serve(root_path=ROOT).client
    assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": ROOT}]
    assert f'<base href="{ROOT}/">' in client.get(f"{prefix}/", headers=HTML).text
    for path in ("/docs", "/redoc"):
        page = client.get(prefix + path).text
        assert f"{ROOT}/openapi.json" in page
        assert all(link.startswith(ROOT) for link in re.findall(r'src="([^"]+)"', page))


def test_without_a_prefix_nothing_changes(service: Service) -> None:
    assert '<base href="/">' in service.client.get("/", headers=HTML).text
    assert "servers" not in service.client.get("/openapi.json").json()
    assert service.client.get(f"{ROOT}/models").status_code == 404


def test_the_prefix_alone_is_the_page(serve: Serve) -> None:
    client = serve(root_path=f"{ROOT}/").client
    assert "ResNet server" in client.get(ROOT, headers=HTML).text
    assert client.get(f"{ROOT}x/models").status_code == 404


def test_what_protects_a_path_knows_it_without_the_prefix(
    serve: Serve, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").write_text(f"{hash_of('alpha')} shop\n")
    service = serve(root_path=ROOT, api_keys_file=tmp_path / "keys")
    client = service.client
    assert client.get(f"{prefix}/models").status_code == 401
    refused = client.get(f"{prefix}/v2/models")
    assert (refused.status_code, [*refused.json()]) == (401, ["error"])
    assert client.get(f"{prefix}/health/ready").status_code == 200
    assert client.get(f"{prefix}/v1/nope", headers={"X-API-Key": "alpha"}).status_code == 400
    # Before the key is looked at: the refusal is that of load shedding.
    monkeypatch.setattr(Batcher, "seconds_until", lambda *_, **__: 100.0)
    for path in ("/predict", INFER):
        response = client.post(prefix + path, content=RED)
        assert response.status_code == 503
    labels = {"route": INFER.replace(MODEL_NAME, "{name}"), "method": "POST", "status": "503"}
    assert service.sample("resnet_http_requests_total", **labels) == 1


def test_the_asgi_server_s_prefix_takes_precedence(serve: Serve) -> None:
    client = TestClient(serve(root_path=ROOT).app, root_path="/given")
    assert client.get("/given/openapi.json").json()["servers"] == [{"url": "/given"}]
    assert '<base href="/given/">' in client.get("/", headers=HTML).text


def test_what_is_no_request_is_left_alone() -> None:
    seen = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(dict(scope))

    async def receive() -> Message:
        raise AssertionError("nothing is to be read")

    async def send(message: Message) -> None:
        raise AssertionError(message)

    asyncio.run(RootPathMiddleware(app, ROOT)({"type": "lifespan"}, receive, send))
    assert seen == [{"type": "lifespan"}]


def test_the_paths_that_no_prefix_may_begin_with_are_the_service_s_own(app: FastAPI) -> None:
    described = {path.split("/")[1] for path in app.openapi()["paths"]}
    others = {"page", "docs", "redoc", "openapi.json", "static-offline-docs"}
    assert described | others == OWN_PATHS


@pytest.fixture
def app(service: Service) -> FastAPI:
    return service.app


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("location", [STRIPPING, LEAVING], ids=["stripping", "leaving"])
def test_behind_nginx_every_link_leads_somewhere(serve: Serve, location: str) -> None:
    app = serve(root_path=ROOT, trusted_proxies="127.0.0.1").app
    with behind_nginx(app, {LOCATION: location, METRICS: f"location = {ROOT}/metrics {{"}) as port:
        url = f"http://127.0.0.1:{port}"
        with httpx2.Client(timeout=WAIT_SECONDS, follow_redirects=True) as client:
            assert client.post(f"{url}{ROOT}/predict", content=RED, headers=PNG).status_code == 200
            for page in ("", "/", "/docs"):
                found = client.get(url + ROOT + page, headers=HTML)
                assert found.status_code == 200
                links = links_of(found.text, str(found.url))
                assert links
                for link in links:
                    response = client.get(link)
                    assert response.status_code == (404 if link.endswith("/metrics") else 200), link
            (server,) = client.get(f"{url}{ROOT}/openapi.json").json()["servers"]
            assert client.get(f"{url}{server['url']}/models").status_code == 200


def test_over_a_real_socket(serve: Serve, prefix: str) -> None:
    with listening(serve(root_path=ROOT).app) as port:
        url = f"http://127.0.0.1:{port}{prefix}"
        answer = httpx2.post(f"{url}/predict", content=RED, headers=PNG, timeout=WAIT_SECONDS)
        assert answer.json()["predictions"][0]["label"] == "red"
