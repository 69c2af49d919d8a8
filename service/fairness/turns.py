"""Whose turn it is: start-time fair queueing over keys that compete for one resource.

Source: P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queueing: A Scheduling Algorithm for
Integrated Services Packet Switching Networks", SIGCOMM 1996. Every key has the same weight.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)


class Turns(Generic[KeyT]):
    """Gives each key that waits the same cost served, whatever a turn costs.

    A key's tag is the virtual time at which its next turn starts. A key that was idle starts at the
    present virtual time: it can't save up turns, and it owes what it was charged before.
    """

    def __init__(self) -> None:
        self._tags: dict[KeyT, float] = {}
        self._virtual_time = 0.0

    def next(self, waiting: Iterable[KeyT]) -> KeyT:
        """The key whose turn it is; of equals, the first. Raises ValueError where none waits."""
        return min(waiting, key=self._tag)

    def serve(self, key: KeyT, cost: float) -> None:
        """Begins a turn of this cost (0 or more, any unit, always the same)."""
        tag = self._tag(key)
        self._virtual_time = max(self._virtual_time, tag)
        self._tags[key] = tag + cost

    def charge(self, key: KeyT, cost: float) -> None:
        """Corrects a turn's cost once it is known; negative where it was estimated too high."""
        self._tags[key] = max(self._virtual_time, self._tag(key) + cost)

    def forget_idle(self, waiting: Iterable[KeyT]) -> None:
        """Forgets keys that don't wait and owe nothing; all of them where no key waits at all."""
        kept = set(waiting)
        if not kept:
            self._tags.clear()
            return
        for key in [k for k, tag in self._tags.items() if tag <= self._virtual_time]:
            if key not in kept:
                del self._tags[key]

    def _tag(self, key: KeyT) -> float:
        return max(self._virtual_time, self._tags.get(key, 0.0))
