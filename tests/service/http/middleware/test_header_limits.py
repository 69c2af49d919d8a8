"""The bounds of a request's target and header, through the whole application."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from service.http.middleware.header_limits import (
    MAX_FIELD_BYTES,
    MAX_FIELDS,
    MAX_HEADER_BYTES,
    MAX_PARAMETERS,
    MAX_TARGET_BYTES,
    HeaderLimitsMiddleware,
)
from service.observability.metrics import Metrics
from tests.service.conftest import Service
from tests.service.http.loop_work import request_work

Fields = list[tuple[bytes, bytes]]
# What `request_work` sends of its own accord.
OWN_FIELDS, OWN_BYTES = 1, len(b"hosttest")


def fields(count: int, value: bytes = b"b") -> Fields:
    return [(b"x-%02d" % number, value) for number in range(count)]


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        (fields(MAX_FIELDS - OWN_FIELDS), fields(MAX_FIELDS - OWN_FIELDS + 1)),
        (
            [(b"a", b"b" * (MAX_FIELD_BYTES - 1))],
            [(b"a", b"b" * MAX_FIELD_BYTES)],
        ),
        (
            [
                *fields(3, b"b" * (MAX_FIELD_BYTES - 4)),
                (b"a", b"b" * (MAX_FIELD_BYTES - 1 - OWN_BYTES)),
            ],
            [
                *fields(3, b"b" * (MAX_FIELD_BYTES - 4)),
                (b"a", b"b" * (MAX_FIELD_BYTES - OWN_BYTES)),
            ],
        ),
    ],
    ids=["number", "one field", "all fields"],
)
def test_a_header_within_its_limits(service: Service, allowed: Fields, refused: Fields) -> None:
    assert MAX_HEADER_BYTES == 4 * MAX_FIELD_BYTES
    assert request_work(service.app, headers=allowed).status == 200
    work = request_work(service.app, path="/models", headers=refused)
    assert work.status == 431
    assert b'"code":"header_too_large"' in work.body
    assert service.sample("resnet_rejections_total", reason="header_too_large") == 1
    labels = {"route": "other", "method": "GET", "status": "431"}
    assert service.sample("resnet_http_requests_total", **labels) == 1


@pytest.mark.parametrize(
    "target",
    [
        {"path": "/models", "query": b"a" * (MAX_TARGET_BYTES - len("/models") + 1)},
        {"path": "/" + "a" * MAX_TARGET_BYTES},
        {"path": "/models", "query": b"&" * MAX_PARAMETERS},
    ],
    ids=["query", "path", "parameters"],
)
def test_a_target_that_is_too_long(service: Service, target: dict[str, Any]) -> None:
    work = request_work(service.app, **target)
    assert work.status == 414
    assert b'"code":"target_too_long"' in work.body


def test_a_refusal_has_the_id_of_its_request(service: Service) -> None:
    response = service.client.get("/" + "a" * MAX_TARGET_BYTES, headers={"X-Request-ID": "mine"})
    assert response.status_code == 414
    assert response.headers["X-Request-ID"] == response.json()["request_id"] == "mine"


def test_cookies_go_no_further() -> None:
    """The framework parses them for each request, by some versions of Python in quadratic time."""
    seen: list[bytes] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.extend(name for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    headers = [(b"cookie", b"a=b"), (b"accept", b"*/*"), (b"cookie", b"c=d")]
    limits = HeaderLimitsMiddleware(app, Metrics())
    assert request_work(limits, headers=headers).status == 200
    assert seen == [b"host", b"accept"]
