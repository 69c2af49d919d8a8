"""Clients that count as served between two of their requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

ClientT = TypeVar("ClientT", bound=Hashable)


class Presence(Generic[ClientT]):
    """Each for so many seconds after it was noted last. now: in seconds."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._seconds, self._now = seconds, now
        # When each one's time is over, the first of all first.
        self._ends: dict[ClientT, float] = {}

    def __contains__(self, client: ClientT) -> bool:
        return client in self._ends

    @property
    def seconds_left(self) -> float:
        """Until the next one's time is over; infinite where there is none."""
        return next(iter(self._ends.values()), math.inf) - self._now()

    def note(self, client: ClientT) -> None:
        self._ends.pop(client, None)
        self._ends[client] = self._now() + self._seconds

    def forget_gone(self) -> Iterator[ClientT]:
        """Those whose time is over, which are no longer among them."""
        while self._ends and self.seconds_left <= 0:
            client = next(iter(self._ends))
            del self._ends[client]
            yield client
