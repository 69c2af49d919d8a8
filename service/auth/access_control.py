"""Who calls, and whether it may call now: the same for every protocol."""

from __future__ import annotations

import math

from service.auth.api_keys import ApiKeys
from service.auth.rate_limit import RateLimit
from service.errors import Forbidden, RateLimited, Unauthorized
from service.settings import SecuritySettings


class AccessControl:
    """API keys and rate limits, each where it is configured. For one event loop."""

    def __init__(self, keys: ApiKeys | None, limit: RateLimit | None) -> None:
        self._keys = keys
        self._limit = limit

    @property
    def needs_key(self) -> bool:
        return self._keys is not None

    @property
    def enabled(self) -> bool:
        """Whether `admit` ever refuses."""
        return self._keys is not None or self._limit is not None

    def admit(self, key: str | None, address: str) -> str:
        """Counts one request, and gives its client: the key's name, or without keys the address.

        key: as the client sent it. Raises Unauthorized, Forbidden or RateLimited.
        """
        client = address if self._keys is None else _owner(key, self._keys)
        if self._limit is not None and (wait := self._limit.take(client)):
            raise RateLimited(
                f"{client} has sent too many requests. The next one may be sent in {wait:.1f} s.",
                retry_after_seconds=math.ceil(wait),
            )
        return client


def make_access_control(settings: SecuritySettings) -> AccessControl:
    """Raises InvalidKeyFile."""
    return AccessControl(
        ApiKeys(settings.api_keys_file) if settings.api_keys_file else None,
        RateLimit(settings.rate_limit_per_second, settings.rate_limit_burst)
        if settings.rate_limit_per_second
        else None,
    )


def _owner(key: str | None, keys: ApiKeys) -> str:
    if not key:
        raise Unauthorized("An API key is required.")
    client = keys.client(key)
    if client is None:
        raise Unauthorized("The API key is not known here.")
    if client.off:
        raise Forbidden(f"The API key of {client.name} has been turned off.")
    return client.name
