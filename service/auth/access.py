"""Refuses clients without a good key, and clients that send too many requests."""

from __future__ import annotations

import math

from service.auth.api_keys import ApiKeys
from service.auth.rate_limit import RateLimit
from service.errors import Forbidden, RateLimited, Unauthorized


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
