"""Who a request's client is: what rate limits and fair shares are counted by."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from starlette.types import Scope

# Where AuthMiddleware puts the name of a good key's client.
CLIENT: Final = "resnet.client"
# Clients without an address, as over a Unix socket, share one name.
UNKNOWN: Final = "unknown"


def client_of(scope: Scope) -> str:
    """The name of the API key's client once AuthMiddleware has accepted the key, else the address.

    Outside AuthMiddleware, and where no keys are configured, it is always the address.
    """
    name = scope.get(CLIENT)
    return name if isinstance(name, str) else address_of(scope)


def address_of(scope: Scope) -> str:
    """The IP address of the connection, or the one that a trusted proxy stated for it.

    What is no IP address is "unknown": a proxy may pass on whatever text its own client sent.
    """
    client = scope.get("client")
    try:
        return str(ip_address(client[0])) if client else UNKNOWN
    except ValueError:
        return UNKNOWN
