"""The address that a client without an API key is known by."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

# Clients without an address, as over a Unix socket, share one name.
UNKNOWN: Final = "unknown"
# What one client is given at least (RFC 6177). The other 64 bits it selects (RFC 4291, 2.5.1).
IPV6_PREFIX_BITS: Final = 64


@lru_cache(maxsize=4096)
def client_address(text: str) -> str:
    """An IPv6 address counts as its network of 64 bits, and one that stands for an IPv4 address as
    that. What is no IP address is "unknown": a proxy may pass on whatever text its client sent.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), IPV6_PREFIX_BITS), strict=False))
