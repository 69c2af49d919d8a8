"""Who a request's client is: what rate limits and fair shares are counted by."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from service.auth.access import stated_key
from service.auth.address import UNKNOWN, client_address
from service.auth.api_keys import ApiKeys
from service.http.headers import API_KEY, AUTHORIZATION

# Where AuthMiddleware puts the name of a good key's client.
CLIENT: Final = "resnet.client"


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
    return stated_key(headers.get(AUTHORIZATION, ""), headers.get(API_KEY, ""))


def address_of(scope: Scope) -> str:
    """The IP address of the connection, or the one that a trusted proxy stated for it, in the form
    of `client_address`.
    """
    client = scope.get("client")
    return client_address(client[0]) if client else UNKNOWN
