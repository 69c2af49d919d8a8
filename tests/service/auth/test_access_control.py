"""Which client a request is from, and what it is refused for, without any protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.auth.access_control import AccessControl, make_access_control
from service.auth.api_keys import ApiKeys, InvalidKeyFile, hash_of
from service.auth.rate_limit import RateLimit
from service.errors import Forbidden, RateLimited, Unauthorized
from service.settings import Settings
from tests.service.auth.clock import Clock


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{hash_of('alpha')} shop\n{hash_of('beta')} old-shop off\n")
    return path


def test_with_neither_keys_nor_a_limit_every_address_is_admitted() -> None:
    access = make_access_control(Settings.of().security)
    assert (access.enabled, access.needs_key) == (False, False)
    assert access.admit(None, "192.0.2.1") == "192.0.2.1"


def test_a_key_names_the_client_whatever_its_address(key_file: Path) -> None:
    access = AccessControl(ApiKeys(key_file), None)
    assert (access.enabled, access.needs_key) == (True, True)
    assert access.admit("alpha", "192.0.2.1") == access.admit("alpha", "192.0.2.2") == "shop"


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (None, Unauthorized, "An API key is required."),
        ("", Unauthorized, "An API key is required."),
        ("gamma", Unauthorized, "The API key is not known here."),
        ("beta", Forbidden, "The API key of old-shop has been turned off."),
    ],
)
def test_a_key_that_is_missing_unknown_or_off(
    key_file: Path, key: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as refusal:
        AccessControl(ApiKeys(key_file), None).admit(key, "192.0.2.1")
    assert str(refusal.value) == message


def test_a_limit_counts_each_client_and_says_when_it_may_call_again(key_file: Path) -> None:
    clock = Clock()
    access = AccessControl(ApiKeys(key_file), RateLimit(0.1, 1, clock))
    access.admit("alpha", "192.0.2.1")
    clock.now += 2.5
    with pytest.raises(RateLimited, match=r"^shop has sent .* may be sent in 7\.5 s\.$") as refusal:
        access.admit("alpha", "192.0.2.2")
    assert refusal.value.retry_after_seconds == 8


def test_an_unknown_key_costs_no_client_a_token(key_file: Path) -> None:
    access = AccessControl(ApiKeys(key_file), RateLimit(0.1, 1, Clock()))
    for _ in range(3):
        with pytest.raises(Unauthorized):
            access.admit("gamma", "192.0.2.1")
    assert access.admit("alpha", "192.0.2.1") == "shop"


def test_it_is_made_as_the_settings_say(key_file: Path, tmp_path: Path) -> None:
    settings = Settings.of(rate_limit_per_second=1, rate_limit_burst=2).security
    limited = make_access_control(settings)
    assert (limited.enabled, limited.needs_key) == (True, False)
    assert make_access_control(Settings.of(api_keys_file=key_file).security).needs_key
    with pytest.raises(InvalidKeyFile):
        make_access_control(Settings.of(api_keys_file=tmp_path / "none").security)
