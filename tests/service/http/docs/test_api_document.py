"""The document of the API is made for its first reader, once and not on the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.http.paths import OPENAPI
from tests.service.conftest import Service

READERS = 4


def test_a_start_does_not_make_it(service: Service) -> None:
    assert service.client.get("/health/ready").status_code == 200
    assert service.app.openapi_schema is None


def test_readers_at_the_same_time_get_what_is_made_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by: list[threading.Thread] = []
    make = service.app.openapi
    # The threads that answer requests of the test's client, of which one is the event loop's.
    loop = service.client.portal.call(threading.current_thread)  # type: ignore[union-attr]

    def noted() -> dict[str, Any]:
        if service.app.openapi_schema is None:
            made_by.append(threading.current_thread())
        return make()

    monkeypatch.setattr(service.app, "openapi", noted)
    get: Callable[[int], Any] = lambda _: service.client.get(OPENAPI).json()  # noqa: E731
    with ThreadPoolExecutor(READERS) as readers:
        documents = list(readers.map(get, range(READERS)))
    assert documents == [make()] * READERS
    assert len(made_by) == 1
    assert made_by[0] is not loop


def test_a_later_reader_gets_the_same(service: Service) -> None:
    first, second = (service.client.get(OPENAPI) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert service.client.head(OPENAPI).status_code == 200
