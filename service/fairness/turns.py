"""Whose turn it is: start-time fair queueing over keys that compete for one resource.

Source: P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queueing: A Scheduling Algorithm for
Integrated Services Packet Switching Networks", SIGCOMM 1996. Every key has the same weight.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)

# Entries that are out of date may be as many as the valid ones and these.
SPARE_ENTRIES = 16


class Turns(Generic[KeyT]):
    """Gives each key that waits the same cost served, whatever a turn costs.

    A key's tag is the virtual time at which its next turn starts. A key that was idle starts at the
    present virtual time: it can't save up turns, and it owes what it was charged before.
    Every operation takes logarithmic time in the number of keys.
    """

    def __init__(self) -> None:
        # Of keys that wait, and of others whose tag is ahead of the virtual time.
        self._tags: dict[KeyT, float] = {}
        self._virtual_time = 0.0
        self._numbers = count()
        # (-priority, tag, number, key): the valid entry of each key that waits, and a heap of them
        # in which others are out of date.
        self._valid: dict[KeyT, tuple[int, float, int, KeyT]] = {}
        self._heap: list[tuple[int, float, int, KeyT]] = []
        # The keys that left and owe, and a heap of them by their tags when they left.
        self._owing: set[KeyT] = set()
        self._debts: list[tuple[float, int, KeyT]] = []

    def join(self, key: KeyT, *, priority: int = 0) -> None:
        """The key waits from now on. A higher priority goes first, whatever it was served."""
        self._push(-priority, next(self._numbers), key)

    def leave(self, key: KeyT) -> None:
        """The key no longer waits. Where none does any more, nobody owes anything."""
        del self._valid[key]
        if not self._valid:
            self._tags.clear()
            self._heap.clear()
            self._owing.clear()
            self._debts.clear()
            return
        self._note_idle(key)
        self._tidy()

    def next(self) -> KeyT:
        """The key whose turn it is; of equals, the first. Raises LookupError where none waits."""
        while self._heap:
            entry = self._heap[0]
            if self._valid.get(entry[-1]) is entry:
                return entry[-1]
            heappop(self._heap)
        raise LookupError("No key waits.")

    def first(self, may: Callable[[KeyT], bool]) -> KeyT | None:
        """Of those that may have a turn the key whose turn it is; None where none may.

        It takes time in the number of keys.
        """
        entry = min((one for one in self._valid.values() if may(one[-1])), default=None)
        return None if entry is None else entry[-1]

    def serve(self, key: KeyT, cost: float) -> None:
        """Begins a turn of this cost (0 or more, any unit, always the same)."""
        tag = self._tag(key)
        self._virtual_time = max(self._virtual_time, tag)
        self._set(key, tag + cost)
        while self._debts and self._debts[0][0] <= self._virtual_time:
            other = heappop(self._debts)[-1]
            self._owing.discard(other)
            if other not in self._valid:
                self._note_idle(other)

    def charge(self, key: KeyT, cost: float) -> None:
        """Corrects a turn's cost once it is known; negative where it was estimated too high."""
        self._set(key, max(self._virtual_time, self._tag(key) + cost))

    def _tag(self, key: KeyT) -> float:
        return max(self._virtual_time, self._tags.get(key, 0.0))

    def _set(self, key: KeyT, tag: float) -> None:
        self._tags[key] = tag
        if (entry := self._valid.get(key)) is not None:
            self._push(entry[0], entry[2], key)
        elif self._valid:
            self._note_idle(key)
        else:
            del self._tags[key]

    def _push(self, rank: int, number: int, key: KeyT) -> None:
        entry = (rank, self._tag(key), number, key)
        self._valid[key] = entry
        heappush(self._heap, entry)
        self._tidy()

    def _note_idle(self, key: KeyT) -> None:
        """Remembers a key that does not wait for as long as it owes."""
        if self._tag(key) <= self._virtual_time:
            self._tags.pop(key, None)
        elif key not in self._owing:
            self._owing.add(key)
            heappush(self._debts, (self._tags[key], next(self._numbers), key))

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._valid) + SPARE_ENTRIES:
            self._heap = list(self._valid.values())
            heapify(self._heap)
