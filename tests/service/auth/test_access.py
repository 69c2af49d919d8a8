"""Which client a request is from, and what it is refused for, without any protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.auth.access import authenticate, check_rate
from service.auth.api_keys import ApiKeys, hash_of
from service.auth.rate_limit import RateLimit
from service.errors import Forbidden, RateLimited, Unauthorized


@pytest.fixture
def keys(tmp_path: Path) -> ApiKeys:
    path = tmp_path / "keys"
    path.write_text(f"{hash_of('alpha')} shop\n{hash_of('beta')} old-shop off\n")
    return ApiKeys(path)


def test_a_key_names_its_client(keys: ApiKeys) -> None:
    assert authenticate(keys, "alpha") == "shop"


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("", Unauthorized, "An API key is required."),
        ("gamma", Unauthorized, "The API key is not known here."),
        ("beta", Forbidden, "The API key of old-shop has been turned off."),
    ],
)
def test_a_key_that_is_missing_unknown_or_off(
    keys: ApiKeys, key: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as refusal:
        authenticate(keys, key)
    assert str(refusal.value) == message


def test_a_limit_counts_each_client_and_says_when_it_may_call_again() -> None:
    now = 1000.0
    limit = RateLimit(0.1, 1, lambda: now)
    check_rate(limit, "shop")
    check_rate(limit, "bank")
    now += 2.5
    with pytest.raises(RateLimited, match=r"^shop has sent .* may be sent in 7\.5 s\.$") as refusal:
        check_rate(limit, "shop")
    assert refusal.value.retry_after_seconds == 8
