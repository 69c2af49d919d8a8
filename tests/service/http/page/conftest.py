"""The page in a real Chromium, on a real server around a fake engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser
from starlette.types import ASGIApp

from tests.chromium import chromium, collect_complaints
from tests.service.conftest import listening
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.page.visit import Visit


class Open(Protocol):
    def __call__(self, app: ASGIApp | str, path: str = "/", **options: Any) -> Visit: ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(WAIT_SECONDS) as started:
        yield started


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Visits the page of an application or at an address. options: of the browser's context.

    Afterwards nothing may have failed in it: no exception, no breach of its security policy.
    """
    complaints: list[str] = []
    with contextlib.ExitStack() as stack:

        def visit(app: ASGIApp | str, path: str = "/", **options: Any) -> Visit:
            if not isinstance(app, str):
                assert isinstance(app, FastAPI)
                app = f"http://127.0.0.1:{stack.enter_context(listening(app))}"
            context = browser.new_context(**options)
            stack.callback(context.close)
            context.set_default_timeout(1000 * WAIT_SECONDS)
            page = context.new_page()
            collect_complaints(page, complaints)
            return Visit(page, app + path)

        yield visit
    assert not complaints
