"""Every open connection of a server: how many there may be, and which have taken too long."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Literal, Protocol

from service.auth.address import UNKNOWN, client_address
from service.fairness.paced import BYTE_SECONDS
from service.fairness.shared_limit import SharedLimit
from service.http.connection.bounds import Bounds
from service.http.connection.descriptors import Descriptors, descriptor_limit
from service.http.connection.dropped import DroppedBytes
from service.http.connection.received import HeldFlow
from service.http.connection.refusal import Refusal, too_many
from service.observability.logging import ThrottledLog
from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)

Reason = Literal["limit", "share", "descriptors"]
# After a search for an idle connection that found none.
PAUSE_SECONDS = 0.1


class Connection(Protocol):
    """What the registry asks of a connection."""

    @property
    def idle(self) -> bool:
        """Whether no body is received and no response is due."""

    def check(self, now: float) -> None:
        """Closes it where it has taken too long. now: the event loop's time."""

    def turn_away(self, refusal: Refusal) -> None:
        """Answers with the refusal, whatever may still arrive, and closes at once."""


class ConnectionRegistry:
    """For one event loop.

    A client below its equal share takes the place of an idle connection of the client with the
    most. Another connection beyond a limit is open until its first request is there: only health
    probes are answered. There are few of those connections, and a new one takes the place of the
    oldest.
    """

    def __init__(
        self,
        bounds: Bounds,
        metrics: Metrics,
        is_trusted: Callable[[str], bool] = lambda _: False,
        charge: Callable[[str, float], object] = lambda _client, _seconds: None,
    ) -> None:
        """is_trusted: whether an address is a proxy's, which has no share but the whole limit.

        charge: called with a client and the seconds of the event loop that it cost beside its
        requests.
        """
        self.bounds = bounds
        self.metrics = metrics
        self._is_trusted, self._charge = is_trusted, charge
        self._shares = SharedLimit(bounds.max_connections)
        self._trusted = 0
        # Connections within the limits, each with its client; None: a trusted proxy's.
        self._counted: dict[Connection, str | None] = {}
        # Connections beyond the limits, the oldest first.
        self._beyond: dict[Connection, None] = {}
        limit = descriptor_limit()
        self._probes = bounds.probe_connections
        if limit is not None:
            self._probes = max(1, min(self._probes, limit // 8))
        self._descriptors = Descriptors(limit, margin=2 * self._probes)
        self.dropped = DroppedBytes()
        self._timer: asyncio.TimerHandle | None = None
        self._search_again = -math.inf
        self._log = ThrottledLog(logger, "%d connections beyond a limit; the last one: %s")
        self._malformed_log = ThrottledLog(logger, "%d malformed requests; the last one: %s")
        metrics.connections.set_function(self.__len__)

    def __len__(self) -> int:
        return len(self._counted) + len(self._beyond)

    def start(self) -> None:
        """Checks connections and descriptors from now on, on the event loop that runs."""
        if self._timer is None:
            self._poll()

    def add(self, connection: Connection, address: str | None, descriptor: int) -> Refusal | None:
        """What to answer to all but health probes; None where it is within the limits.

        address: the peer's. descriptor: the connection's.
        """
        self.start()
        address = address or UNKNOWN
        reason = self._count(connection, address, descriptor)
        if reason in ("limit", "share") and self._make_room(address):
            reason = self._count(connection, address, descriptor)
        if reason is None:
            return None
        self.metrics.connections_refused.labels(reason).inc()
        refusal = too_many(self._detail(reason))
        self._log.warning(f"{address}: {refusal.detail}")
        if len(self._beyond) >= self._probes:
            oldest = next(iter(self._beyond))
            del self._beyond[oldest]
            oldest.turn_away(refusal)
        self._beyond[connection] = None
        return refusal

    def remove(self, connection: Connection) -> None:
        self._beyond.pop(connection, None)
        if connection not in self._counted:
            return
        client = self._counted.pop(connection)
        if client is None:
            self._set_trusted(self._trusted - 1)
        else:
            self._shares.release(client, 1)

    def drop(self, flow: HeldFlow, peer: tuple[str, int] | None, count: int) -> None:
        """Counts what a client sent after its response; it may be read later on only."""
        address = peer[0] if peer else UNKNOWN
        client = client_address(address)
        self.dropped.add(flow, client, count)
        if not self._is_trusted(address):
            self._charge(client, count * BYTE_SECONDS)

    def record_refusal(self, refusal: Refusal, client: tuple[str, int] | None) -> None:
        """Counts the response to a request that the application never saw. client: the peer."""
        self.metrics.rejections.labels(refusal.code).inc()
        self.metrics.requests.labels("other", "other", str(refusal.status)).inc()
        if refusal.status == 400:
            self._malformed_log.warning(f"{client[0] if client else UNKNOWN}: {refusal.detail}")

    def _count(self, connection: Connection, address: str, descriptor: int) -> Reason | None:
        if self._descriptors.low(descriptor):
            return "descriptors"
        if len(self._counted) >= self.bounds.max_connections:
            return "limit"
        if self._is_trusted(address):
            self._counted[connection] = None
            self._set_trusted(self._trusted + 1)
            return None
        client = client_address(address)
        if not self._shares.take(client, 1):
            return "share"
        self._counted[connection] = client
        return None

    def _make_room(self, address: str) -> bool:
        """Closes an idle connection of the client with the most, for one below its share."""
        now = asyncio.get_running_loop().time()
        if now < self._search_again or not self._shares.below_share(client_address(address)):
            return False
        largest = self._shares.largest
        for connection, client in self._counted.items():
            if largest is not None and client == largest and connection.idle:
                self.remove(connection)
                connection.turn_away(too_many("Another address needs the place."))
                return True
        self._search_again = now + PAUSE_SECONDS
        return False

    def _set_trusted(self, number: int) -> None:
        """What trusted proxies leave is what the others share."""
        self._trusted = number
        self._shares.limit = self.bounds.max_connections - number

    def _detail(self, reason: Reason) -> str:
        limit = self.bounds.max_connections
        if reason == "limit":
            return f"There may be {limit} connections. Open: {len(self._counted)}"
        if reason == "share":
            return f"This address has its share of {limit} connections. Open: {len(self._counted)}"
        return f"The process has no descriptors left. Open connections: {len(self)}"

    def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in (*self._counted, *self._beyond):
            connection.check(now)
        self._descriptors.check(len(self))
        self._timer = loop.call_later(self.bounds.poll_seconds, self._poll)
