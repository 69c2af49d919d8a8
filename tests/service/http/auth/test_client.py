"""Who a request's client is."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from service.auth.access import Access
from service.auth.api_keys import ApiKeys, hash_of
from service.auth.rate_limit import RateLimit
from service.http.auth.client import client_of
from service.http.middleware.auth import AuthMiddleware
from service.observability.metrics import Metrics
from tests.service.conftest import TestClient


@pytest.mark.parametrize(
    ("given", "client"),
    [
        (("192.0.2.1", 1000), "192.0.2.1"),
        (("192.0.2.1", 2000), "192.0.2.1"),
        (("2001:DB8:0::1", 1000), "2001:db8::/64"),
        (("2001:db8::ffff:1:2:3", 1000), "2001:db8::/64"),
        (("2001:db8:0:1::1", 1000), "2001:db8:0:1::/64"),
        (("fe80::1%eth0", 1000), "fe80::/64"),
        (("::ffff:192.0.2.1", 1000), "192.0.2.1"),
        (None, "unknown"),
        (("x" * 60_000, 0), "unknown"),
        (("<script>", 0), "unknown"),
    ],
)
def test_without_a_checked_key_it_is_the_address(
    given: tuple[str, int] | None, client: str
) -> None:
    assert client_of({"type": "http", "client": given}) == client
    assert client_of({"type": "http"}) == "unknown"


def test_it_is_the_keys_client_once_the_key_is_accepted(tmp_path: Path) -> None:
    """Outside AuthMiddleware, where load shedding is, the key says nothing yet."""
    (tmp_path / "keys").write_text(f"{hash_of('alpha')} shop\n")
    seen: list[str] = []

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(client_of(scope))
        await PlainTextResponse("in")(scope, receive, send)

    auth = AuthMiddleware(
        inside, Access(ApiKeys(tmp_path / "keys"), None, RateLimit(1, 9)), Metrics()
    )

    async def outside(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(client_of(scope))
        await auth(scope, receive, send)

    client = TestClient(outside, client=("192.0.2.1", 1000))
    assert client.get("/models", headers={"X-API-Key": "alpha"}).text == "in"
    assert client.get("/models", headers={"X-API-Key": "beta"}).status_code == 401
    assert client.get("/docs", headers={"X-API-Key": "alpha"}).text == "in"
    assert seen == ["192.0.2.1", "shop", "192.0.2.1", "192.0.2.1", "192.0.2.1"]
