"""Who a request's client is: what rate limits and fair shares are counted by."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from service.auth.api_keys import ApiKeys
from service.http.headers import API_KEY, AUTHORIZATION

# Where AuthMiddleware puts the name of a good key's client.
CLIENT: Final = "resnet.client"
# Clients without an address, as over a Unix socket, share one name.
UNKNOWN: Final = "unknown"
# What one client is given at least: it may take any address of it.
IPV6_PREFIX_BITS: Final = 64


def client_of(scope: Scope) -> str:
    """The name of the API key's client once AuthMiddleware has accepted the key, else the address.

    Outside AuthMiddleware, and where no keys are configured, it is always the address.
    """
    name = scope.get(CLIENT)
    return name if isinstance(name, str) else address_of(scope)


def client_before_auth(scope: Scope, keys: ApiKeys | None) -> str | None:
    """The client by which AuthMiddleware will know the request; None where it will refuse the key.

    keys: None where none are configured. It decides nothing about the request.
    """
    if keys is None:
        return address_of(scope)
    client = keys.client(key_of(Headers(scope=scope)))
    return None if client is None or client.off else client.name


def key_of(headers: Headers) -> str:
    """The API key that a request states; empty without one."""
    scheme, _, bearer = headers.get(AUTHORIZATION, "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else headers.get(API_KEY, "")


def address_of(scope: Scope) -> str:
    """The IP address of the connection, or the one that a trusted proxy stated for it.

    An IPv6 address counts as its network of 64 bits, and one that stands for an IPv4 address as
    that. What is no IP address is "unknown": a proxy may pass on whatever text its own client sent.
    """
    client = scope.get("client")
    return _client_at(client[0]) if client else UNKNOWN


@lru_cache(maxsize=4096)
def _client_at(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), IPV6_PREFIX_BITS), strict=False))
