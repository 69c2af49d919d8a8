"""How many messages may be arriving at once.

gRPC tells nobody how large a message is before all of it is there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.fairness.shared_limit import SharedLimit

MIN_ARRIVALS = 2


def arrivals_of(budget_bytes: int, max_message_bytes: int) -> int:
    """Messages whose largest size, all together, is half of the byte budget."""
    return max(MIN_ARRIVALS, budget_bytes // 2 // max_message_bytes)


class Arrivals:
    """A place for each message that arrives, shared between clients. For one event loop."""

    def __init__(self, places: int) -> None:
        self._limit = SharedLimit(places)
        # Clients in turn, the next one first, each with those that wait for a place.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def used(self) -> int:
        return self._limit.used

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Waits for a place of this client and holds it."""
        if client in self._waiting or not self._limit.take(client, 1):
            await self._wait(client)
        try:
            yield
        finally:
            self._limit.release(client, 1)
            self._wake()

    async def _wait(self, client: str) -> None:
        """Until a place is taken for the caller."""
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(given)
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():
                self._limit.release(client, 1)
            elif client in self._waiting and given in self._waiting[client]:
                self._remove(client, given)
            self._wake()
            raise

    def _remove(self, client: str, waiter: asyncio.Future[None]) -> None:
        self._waiting[client].remove(waiter)
        if not self._waiting[client]:
            del self._waiting[client]

    def _wake(self) -> None:
        """Gives the places that are free to the clients in turn."""
        for client, waiting in list(self._waiting.items()):
            while waiting and waiting[0].done():
                # It was cancelled.
                waiting.popleft()
            given = bool(waiting) and self._limit.take(client, 1)
            if given:
                waiting.popleft().set_result(None)
            if given or not waiting:
                del self._waiting[client]
            if given and waiting:
                # Behind the others.
                self._waiting[client] = waiting
