"""Whether a connection's peer is a proxy that the settings trust."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from service.settings.types import parts_of


class TrustedProxies:
    """The addresses and networks of RESNET_TRUSTED_PROXIES."""

    def __init__(self, trusted_proxies: str) -> None:
        """trusted_proxies: addresses and networks, separated by commas; "" trusts nobody."""
        self._networks = tuple(ip_network(one) for one in parts_of(trusted_proxies))
        self._is_trusted = lru_cache(maxsize=4096)(self._look_up)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Whether the peer of a connection, by its address, is trusted."""
        return bool(self._networks) and self._is_trusted(address)

    def client_of(self, peer: str, forwarded: str) -> str:
        """The address of the client: the peer's, or the last of X-Forwarded-For that is no proxy's.

        forwarded: the header, whose addresses are believed where the peer is trusted.
        """
        if peer not in self:
            return peer
        addresses = [one.strip() for one in forwarded.split(",") if one.strip()] or [peer]
        return next((one for one in reversed(addresses) if one not in self), addresses[0])

    def _look_up(self, address: str) -> bool:
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._networks)
