"""The page to try the service with, and the API's own: whole without another server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.auth.api_keys import hash_of
from tests.service.conftest import MODEL_NAME, Serve, Service, TestClient, listening
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.loop_work import request_work

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
    assert {"page.css", "page.js", "docs", "models"} <= set(references)
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
    policy = http.get("/", headers=BROWSER_ACCEPTS).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in http.get("/", headers=BROWSER_ACCEPTS).text


def test_the_api_docs_load_nothing_from_other_servers(http: TestClient) -> None:
    docs = http.get("/docs").text
    assert not re.findall(r'(?:href|src)="https?://', docs)
    for reference in re.findall(r'(?:href|src)="(/[^"]*)"', docs):
        assert http.get(reference).status_code == 200, reference


def test_the_page_can_send_an_api_key(service: Service) -> None:
    """Its field appears once a request was refused for want of a key."""
    assert '<form id="access" hidden>' in service.client.get("/", headers=BROWSER_ACCEPTS).text
    assert "Authorization: `Bearer ${key}`" in service.client.get("/page.js").text


# Just enough of a browser for the page's script, then a click on the link "Models".
BROWSER = """
const elements = {};
const make = (id) => ({ id, handlers: {}, hidden: true, children: [],
  addEventListener(type, handler) { this.handlers[type] = handler; },
  prepend(child) { this.children.unshift(child); } });
globalThis.document = { getElementById: (id) => (elements[id] ??= make(id)),
  createElement: (name) => make(name), addEventListener() {} };
globalThis.sessionStorage = { getItem: () => process.env.KEY || null };
const address = process.env.ADDRESS, fetched = globalThis.fetch;
globalThis.fetch = (path, options) => fetched(new URL(path, address), options);
(async () => {
  const script = await (await fetched(address + "/page.js")).text();
  new Function(script)();
  let kept = false;
  elements.models.handlers.click({ preventDefault() { kept = true; } });
  for (let turn = 0; turn < 500 && elements.status.textContent === undefined; turn++)
    await new Promise((done) => setTimeout(done, 10));
  console.log(JSON.stringify({ kept, asksForKey: !document.getElementById("access").hidden,
    status: elements.status.textContent,
    shown: elements.answers.children.map((one) => one.textContent) }));
})();
"""


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_the_link_to_the_models_is_followed_with_the_key(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{hash_of('alpha')} shop\n")
    app = serve(api_keys_file=tmp_path / "keys").app

    def clicked(port: int, key: str) -> dict[str, Any]:
        done = subprocess.run(
            ["node", "-e", BROWSER],
            env={**os.environ, "ADDRESS": f"http://127.0.0.1:{port}", "KEY": key},
            capture_output=True,
            text=True,
            check=True,
            timeout=WAIT_SECONDS,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    with listening(app) as port:
        with_key, without = clicked(port, "alpha"), clicked(port, "")
    assert (with_key["kept"], with_key["asksForKey"]) == (True, False)
    (shown,) = with_key["shown"]
    assert json.loads(shown)["default"] == MODEL_NAME
    assert (without["kept"], without["asksForKey"], without["shown"]) == (True, True, [])
    assert without["status"].startswith("Send an API key")


def test_its_files_are_read_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise AssertionError("a file is read")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    for path in ("/", "/page.css", "/page.js"):
        assert service.client.get(path, headers=BROWSER_ACCEPTS).status_code == 200


def test_the_first_reader_of_the_api_document_does_not_wait_for_it(service: Service) -> None:
    work = request_work(service.app, path="/openapi.json")
    assert work.status == 200
    assert work.longest < 30_000
