"""The page to try the service with, and the API's own: whole without another server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.service.conftest import Service, TestClient
from tests.service.http.loop_work import request_work


@pytest.fixture
def http(service: Service) -> TestClient:
    return service.client


def test_the_page_names_only_files_that_this_server_has(http: TestClient) -> None:
    page = http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    references = re.findall(r'(?:href|src)="(/[^"]*)"', page.text)
    assert {"/page.css", "/page.js", "/docs", "/models"} <= set(references)
    for reference in references:
        assert http.get(reference).status_code == 200, reference


def test_nothing_from_elsewhere_runs_in_it(http: TestClient) -> None:
    policy = http.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in http.get("/").text


def test_the_api_docs_load_nothing_from_other_servers(http: TestClient) -> None:
    docs = http.get("/docs").text
    assert not re.findall(r'(?:href|src)="https?://', docs)
    for reference in re.findall(r'(?:href|src)="(/[^"]*)"', docs):
        assert http.get(reference).status_code == 200, reference


def test_the_page_can_send_an_api_key(service: Service) -> None:
    """Its field appears once a request was refused for want of a key."""
    assert '<form id="access" hidden>' in service.client.get("/").text
    assert "Authorization: `Bearer ${key}`" in service.client.get("/page.js").text


def test_its_files_are_read_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise AssertionError("a file is read")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    for path in ("/", "/page.css", "/page.js"):
        assert service.client.get(path).status_code == 200


def test_the_first_reader_of_the_api_document_does_not_wait_for_it(service: Service) -> None:
    work = request_work(service.app, path="/openapi.json")
    assert work.status == 200
    assert work.longest < 30_000
