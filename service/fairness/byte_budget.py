"""The bytes that requests hold: one limit for all protocols, shared between clients."""

from __future__ import annotations

import sys
from types import TracebackType

from service.errors import MemoryFull
from service.fairness.shared_limit import SharedLimit

UNLIMITED = sys.maxsize


class ByteBudget:
    """Limits bodies, as they arrive, and decoded images. For one event loop."""

    def __init__(self, limit_bytes: int = UNLIMITED) -> None:
        self._limit = SharedLimit(limit_bytes)

    @property
    def limit_bytes(self) -> int:
        return self._limit.limit

    @property
    def used_bytes(self) -> int:
        return self._limit.used

    def room(self, client: str) -> int:
        """How many bytes more the client may hold now."""
        return self._limit.room(client)

    def check(self, client: str, count: int) -> None:
        """Raises MemoryFull where so many bytes more of the client have no room now."""
        if count > self.room(client):
            raise memory_full(self._limit, count)

    def hold(self, client: str) -> HeldBytes:
        """What one request of the client holds; nothing at first."""
        return HeldBytes(self._limit, client)


def memory_full(limit: SharedLimit, count: int) -> MemoryFull:
    return MemoryFull(
        f"There is no room for {count} bytes more of this client: requests hold "
        f"{limit.used} bytes, and {limit.limit} are shared between clients."
    )


class HeldBytes:
    """What one request holds of the budget. As a context manager it releases all at the end."""

    def __init__(self, limit: SharedLimit, client: str) -> None:
        self._limit = limit
        self._client = client
        self._held = 0

    def __enter__(self) -> HeldBytes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def check(self, count: int) -> None:
        """Raises MemoryFull where so many bytes more have no room now; takes nothing."""
        if count > self._limit.room(self._client):
            raise memory_full(self._limit, count)

    def take(self, count: int) -> None:
        """Raises MemoryFull, and then takes nothing."""
        if not self._limit.take(self._client, count):
            raise memory_full(self._limit, count)
        self._held += count

    def release(self) -> None:
        """Gives back all that is held; nothing the second time."""
        if self._held:
            self._limit.release(self._client, self._held)
            self._held = 0
