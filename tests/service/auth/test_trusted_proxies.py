"""Whose X-Forwarded-For is believed: nobody's, unless the settings name the proxy."""

from __future__ import annotations

import logging
from collections import Counter

import httpx2
import pytest

from service.auth.trusted_proxies import TrustedProxies
from service.http.app import prepare
from service.settings import Settings
from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import Serve, listening

LIMIT = {"rate_limit_per_second": 0.001, "rate_limit_burst": 5}


def statuses(port: int, forwarded: str, requests: int = 30) -> Counter[int]:
    """Each request with another number in place of N."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        return Counter(
            client.get(
                "/models", headers={"X-Forwarded-For": forwarded.replace("N", str(number))}
            ).status_code
            for number in range(requests)
        )


def test_nobodys_is_by_default(serve: Serve) -> None:
    with listening(serve(**LIMIT).app) as port:
        assert statuses(port, "10.0.0.N") == {200: 5, 429: 25}


def test_a_proxys_that_the_settings_name_is(serve: Serve) -> None:
    with listening(serve(**LIMIT, trusted_proxies="192.0.2.7, 127.0.0.0/8").app) as port:
        assert statuses(port, "10.0.0.N") == {200: 30}


def test_what_a_client_put_in_front_is_not(serve: Serve) -> None:
    """A proxy appends the address that it sees."""
    with listening(serve(**LIMIT, trusted_proxies="127.0.0.1").app) as port:
        assert statuses(port, "10.0.0.N, 203.0.113.9") == {200: 5, 429: 25}
        assert statuses(port, "10.0.0.N, <script>") == {200: 5, 429: 25}


def test_another_proxys_is_not(serve: Serve) -> None:
    with listening(serve(**LIMIT, trusted_proxies="192.0.2.7").app) as port:
        assert statuses(port, "10.0.0.N") == {200: 5, 429: 25}


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_behind_nginx_what_a_client_says_of_itself_goes_no_further(serve: Serve) -> None:
    with behind_nginx(serve(**LIMIT, trusted_proxies="127.0.0.1").app) as port:
        assert statuses(port, "10.0.0.N") == {200: 5, 429: 25}


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("10.2.0.0", False),
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_a_peer_is_trusted_by_address_or_network(address: str, trusted: bool) -> None:
    proxies = TrustedProxies("10.1.0.0/16, 192.0.2.7,2001:db8::/32,")
    assert (address in proxies) == trusted
    assert proxies
    assert not TrustedProxies("")
    assert address not in TrustedProxies("")


def test_uvicorns_variable_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.http.app.configure_logging", lambda *_: None)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    with caplog.at_level(logging.WARNING):
        prepare(Settings())
    assert "FORWARDED_ALLOW_IPS is uvicorn's and is not read" in caplog.text
    assert "RESNET_TRUSTED_PROXIES" in caplog.text
