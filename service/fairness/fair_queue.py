"""A queue in which clients take turns, and within a client its requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from service.fairness.turns import Turns

ItemT = TypeVar("ItemT", bound=Hashable)


@dataclass(slots=True, eq=False)
class _Request(Generic[ItemT]):
    """The items of one request that wait, in their order, each with its cost."""

    priority: int
    items: deque[tuple[ItemT, float]] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class _Client(Generic[ItemT]):
    requests: dict[Hashable, _Request[ItemT]] = field(default_factory=dict)
    turns: Turns[Hashable] = field(default_factory=Turns)
    waiting: int = 0

    def next_request(self) -> Hashable:
        highest = max(request.priority for request in self.requests.values())
        return self.turns.next(
            key for key, request in self.requests.items() if request.priority == highest
        )


class FairQueue(Generic[ItemT]):
    """Clients take turns by the cost that each was served; a client alone gets every turn.

    A higher priority goes first among the requests of its own client, and never ahead of another
    client's. Not bounded and not thread-safe: the caller limits and locks it.
    """

    def __init__(self) -> None:
        self._clients: dict[str, _Client[ItemT]] = {}
        self._turns: Turns[str] = Turns()
        self._of: dict[ItemT, tuple[str, Hashable]] = {}

    def __len__(self) -> int:
        return len(self._of)

    @property
    def clients(self) -> int:
        """How many clients have items that wait."""
        return len(self._clients)

    def waiting(self, client: str) -> int:
        """How many items of this client wait."""
        return self._clients[client].waiting if client in self._clients else 0

    def ahead_of(self, client: str, items: int) -> int:
        """How many waiting items are served before the client has had so many turns more.

        items: from now on, those of the client that wait included. Exact where every item costs
        the same and no client joins; the client's own items are counted.
        """
        others = sum(
            min(each.waiting, items) for name, each in self._clients.items() if name != client
        )
        return others + min(items, self.waiting(client))

    def put(
        self, item: ItemT, *, client: str, request: Hashable, cost: float = 1.0, priority: int = 0
    ) -> None:
        """cost: 0 or more, one unit for every item. Raises ValueError for an item that waits."""
        if item in self._of:
            raise ValueError(f"It waits already: {item!r}")
        entry = self._clients.setdefault(client, _Client())
        entry.requests.setdefault(request, _Request(priority)).items.append((item, cost))
        entry.waiting += 1
        self._of[item] = (client, request)

    def pop(self) -> ItemT:
        """The item whose turn it is; its cost is charged. Raises LookupError where none waits."""
        if not self._of:
            raise LookupError("Nothing waits.")
        client = self._turns.next(self._clients)
        entry = self._clients[client]
        request = entry.next_request()
        item, cost = entry.requests[request].items.popleft()
        self._turns.serve(client, cost)
        entry.turns.serve(request, cost)
        self._left(item)
        return item

    def charge(self, client: str, cost: float) -> None:
        """Adds to a client's served cost; negative where an item cost less than was estimated."""
        self._turns.charge(client, cost)

    def remove(self, item: ItemT) -> bool:
        """Takes one item out without charging it. Returns whether it was there."""
        if item not in self._of:
            return False
        client, request = self._of[item]
        items = self._clients[client].requests[request].items
        del items[next(index for index, (one, _) in enumerate(items) if one == item)]
        self._left(item)
        return True

    def clear(self) -> list[ItemT]:
        """Takes out every item, in the order in which they were put."""
        items = list(self._of)
        self._clients, self._of = {}, {}
        self._turns.forget_idle(())
        return items

    def _left(self, item: ItemT) -> None:
        client, request = self._of.pop(item)
        entry = self._clients[client]
        entry.waiting -= 1
        if not entry.requests[request].items:
            del entry.requests[request]
            entry.turns.forget_idle(entry.requests)
        if not entry.requests:
            del self._clients[client]
        self._turns.forget_idle(self._clients)
