"""A queue in which clients take turns, and within a client its requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Generic, TypeVar

from service.fairness.turns import Turns

ItemT = TypeVar("ItemT", bound=Hashable)


def ahead_of(waiting: Iterable[int], turns: int) -> int:
    """How many items are served before a client has had so many turns more, its own included.

    waiting: the items of each client, that one's too. turns: from now on, those of the client's own
    that wait included. Exact where every item costs the same and no client joins.
    """
    return sum(map(min, waiting, repeat(turns)))


@dataclass(slots=True, eq=False)
class _Client(Generic[ItemT]):
    """The items of each request that waits, in their order, each with its cost."""

    requests: dict[Hashable, deque[tuple[ItemT, float]]] = field(default_factory=dict)
    turns: Turns[Hashable] = field(default_factory=Turns)


class FairQueue(Generic[ItemT]):
    """Clients take turns by the cost that each was served; a client alone gets every turn.

    A higher priority goes first among the requests of its own client, and never ahead of another
    client's. Not bounded and not thread-safe: the caller limits and locks it. Adding, taking and
    removing take logarithmic time in the number of clients and requests.
    """

    def __init__(self) -> None:
        self._clients: dict[str, _Client[ItemT]] = {}
        self._waiting: dict[str, int] = {}
        self._turns: Turns[str] = Turns()
        self._of: dict[ItemT, tuple[str, Hashable]] = {}

    def __len__(self) -> int:
        return len(self._of)

    @property
    def clients(self) -> int:
        """How many clients have items that wait."""
        return len(self._clients)

    @property
    def fewest_and_most(self) -> tuple[int, int]:
        """The smallest and the largest number of items that wait of one client; 0 without any."""
        waiting = self._waiting.values()
        return min(waiting, default=0), max(waiting, default=0)

    @property
    def next_client(self) -> str:
        """Whose turn it is. Raises LookupError where none waits."""
        return self._turns.next()

    def first_client(self, may: Callable[[str], bool]) -> str | None:
        """Of those that may be served the one whose turn it is; None where none may."""
        return self._turns.first(may)

    def waiting(self, client: str) -> int:
        """How many items of this client wait."""
        return self._waiting.get(client, 0)

    def waiting_by_client(self) -> dict[str, int]:
        """How many items wait, of each client that has any; a copy."""
        return dict(self._waiting)

    def put(
        self, item: ItemT, *, client: str, request: Hashable, cost: float = 1.0, priority: int = 0
    ) -> None:
        """cost: 0 or more, one unit for every item. Raises ValueError for an item that waits.

        priority: that of the request, given with the first of its items.
        """
        if item in self._of:
            raise ValueError(f"It waits already: {item!r}")
        entry = self._clients.get(client)
        if entry is None:
            entry = self._clients[client] = _Client()
            self._turns.join(client)
        items = entry.requests.get(request)
        if items is None:
            items = entry.requests[request] = deque()
            entry.turns.join(request, priority=priority)
        items.append((item, cost))
        self._waiting[client] = self.waiting(client) + 1
        self._of[item] = (client, request)

    def pop(self, client: str | None = None) -> ItemT:
        """The item whose turn it is; its cost is charged. Raises LookupError where none waits.

        client: whose item it is to be, which must wait; None for that of the next one.
        """
        if client is None:
            client = self._turns.next()
        entry = self._clients[client]
        request = entry.turns.next()
        item, cost = entry.requests[request].popleft()
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
        items = self._clients[client].requests[request]
        del items[next(index for index, (one, _) in enumerate(items) if one == item)]
        self._left(item)
        return True

    def clear(self) -> list[ItemT]:
        """Takes out every item, in the order in which they were put. Nobody owes anything then."""
        items = list(self._of)
        self._clients, self._waiting, self._turns, self._of = {}, {}, Turns(), {}
        return items

    def _left(self, item: ItemT) -> None:
        client, request = self._of.pop(item)
        entry = self._clients[client]
        self._waiting[client] -= 1
        if not entry.requests[request]:
            del entry.requests[request]
            entry.turns.leave(request)
        if not entry.requests:
            del self._clients[client], self._waiting[client]
            self._turns.leave(client)
