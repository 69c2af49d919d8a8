"""The page to try the service with, and the API's own: whole without another server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.http.routers import ui
from tests.service.conftest import Service, TestClient
from tests.service.http.loop_work import request_work

STATIC = Path(ui.__file__).parents[1] / "static"
# As Firefox and Chromium send it for a page.
BROWSER_ACCEPTS = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def http(service: Service) -> TestClient:
    return service.client


def test_the_page_names_only_files_that_this_server_has(http: TestClient) -> None:
    page = http.get("/", headers=BROWSER_ACCEPTS)
    assert page.headers["content-type"].startswith("text/html")
    assert '<base href="/">' in page.text
    references = re.findall(r'(?:href|src)="([a-z][^":]*)"', page.text)
    assert {"page/base.css", "page/main.js", "page/metrics.js", "docs"} <= set(references)
    for reference in references:
        assert http.get(f"/{reference}").status_code == 200, reference


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_who_asks_for_no_page_gets_kserve_s_liveness(http: TestClient, accept: str) -> None:
    response = http.get("/", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {"status": "alive"}
    assert response.headers["Vary"] == "Accept"
    assert http.get("/", headers=BROWSER_ACCEPTS).headers["Vary"] == "Accept"


def test_nothing_from_elsewhere_runs_in_it(http: TestClient) -> None:
    page = http.get("/", headers=BROWSER_ACCEPTS)
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "img-src 'self' blob: data:" in policy
    assert "unsafe" not in policy
    assert not re.findall(r"<script(?! type=\"module\" src=)|<style| style=| on\w+=", page.text)


def test_the_api_docs_load_nothing_from_other_servers(http: TestClient) -> None:
    docs = http.get("/docs").text
    assert not re.findall(r'(?:href|src)="https?://', docs)
    for reference in re.findall(r'(?:href|src)="(/[^"]*)"', docs):
        assert http.get(reference).status_code == 200, reference


def test_its_files_are_read_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise AssertionError("a file is read")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    for path in ("/", "/page/base.css", "/page/main.js"):
        assert service.client.get(path, headers=BROWSER_ACCEPTS).status_code == 200


IMPORT = re.compile(r'^import .* from "\./(\w+\.js)";$', re.MULTILINE)


def test_every_module_that_is_imported_is_served(http: TestClient) -> None:
    seen: set[str] = set()
    left = ["main.js"]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            module = http.get(f"/page/{name}")
            assert module.status_code == 200, name
            assert module.headers["content-type"].startswith("text/javascript")
            assert module.headers["x-content-type-options"] == "nosniff"
            left += IMPORT.findall(module.text)
    # No file is left over, and a browser need not read one module to learn of the next.
    assert seen == {path.name for path in STATIC.glob("*.js")}
    page = http.get("/", headers=BROWSER_ACCEPTS).text
    assert set(re.findall(r'rel="modulepreload" href="page/([^"]+)"', page)) == seen - {"main.js"}


def test_a_file_that_has_not_changed_is_not_sent_again(http: TestClient) -> None:
    first = http.get("/page/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = http.get("/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = http.get("/page/base.css", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


@pytest.mark.parametrize("name", ["nope.js", "index.html", "..%2Fapp.py"])
def test_no_other_file_is_served(http: TestClient, name: str) -> None:
    assert http.get(f"/page/{name}").status_code == 404


def test_the_first_reader_of_the_api_document_does_not_wait_for_it(service: Service) -> None:
    work = request_work(service.app, path="/openapi.json")
    assert work.status == 200
    assert work.longest < 30_000
