"""Refuses clients without a good key, and clients that send too many requests."""

from __future__ import annotations

import math
from dataclasses import dataclass

from service.auth.api_keys import ApiKeys
from service.auth.rate_limit import RateLimit
from service.errors import Forbidden, RateLimited, Unauthorized
from service.fairness.paced import paced_name
from service.settings import SecuritySettings

# Of one address, where the settings limit nobody: requests without a good key.
STRANGERS_PER_SECOND = 1.0


@dataclass(frozen=True, slots=True)
class Access:
    """Who may send requests and how many: one object for every protocol of the process.

    keys: None where none are configured. limit: None for no limit. strangers: the limit of an
    address whose requests have no good key. It refuses no good one: others may share the address.
    """

    keys: ApiKeys | None
    limit: RateLimit | None
    strangers: RateLimit

    @classmethod
    def of(cls, settings: SecuritySettings) -> Access:
        """Raises InvalidKeyFile."""
        per_second, burst = settings.rate_limit_per_second, settings.rate_limit_burst
        return cls(
            ApiKeys(settings.api_keys_file) if settings.api_keys_file else None,
            RateLimit(per_second, burst) if per_second else None,
            RateLimit(per_second or STRANGERS_PER_SECOND, burst),
        )

    def admit(self, key: str, address: str) -> str:
        """The client, one request of which is counted. key: empty where none was sent.

        Raises Unauthorized, Forbidden or RateLimited.
        """
        client = self.identify(key, address)
        if self.limit is not None:
            check_rate(self.limit, client)
        return client

    def identify(self, key: str, address: str) -> str:
        """The client, of which nothing is counted. Raises as `admit` does."""
        if self.keys is None:
            return address
        try:
            if not key:
                raise Unauthorized(
                    "Send an API key, as Authorization: Bearer KEY or X-API-Key: KEY."
                )
            return authenticate(self.keys, key)
        except (Unauthorized, Forbidden):
            check_rate(self.strangers, address)
            raise

    def paced_client(self, key: str, address: str) -> str:
        """By whom a request is counted before its key is checked: it decides nothing else."""
        client = None if self.keys is None else self.keys.client(key)
        return address if client is None or client.off else paced_name(client.name)


def stated_key(authorization: str, api_key: str) -> str:
    """The API key that a request states: a bearer's, else the other one; empty without any."""
    scheme, _, bearer = authorization.partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else api_key


def authenticate(keys: ApiKeys, key: str) -> str:
    """The name of the key's client.

    key: as the client sent it; empty without one. Raises Unauthorized or Forbidden.
    """
    if not key:
        raise Unauthorized("An API key is required.")
    client = keys.client(key)
    if client is None:
        raise Unauthorized("The API key is not known here.")
    if client.off:
        raise Forbidden(f"The API key of {client.name} has been turned off.")
    return client.name


def check_rate(limit: RateLimit, client: str) -> None:
    """Counts one request of the client. Raises RateLimited.

    client: the name of its key, or its address where there are no keys.
    """
    if wait := limit.take(client):
        raise RateLimited(
            f"{client} has sent too many requests. The next one may be sent in {wait:.1f} s.",
            retry_after_seconds=math.ceil(wait),
        )
