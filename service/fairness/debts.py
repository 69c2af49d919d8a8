"""What clients owe for time of a shared resource, in virtual time.

The virtual time is that of A. Demers, S. Keshav, S. Shenker, "Analysis and Simulation of a Fair
Queueing Algorithm", SIGCOMM 1989: it advances by the part of the time that is shared, divided by
the number of clients that owe. A client's tag is the virtual time at which it will have paid.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar

# A client that sends from many networks would else owe under as many names, for hours.
MOST_OWING = 4096


class Debtor(Protocol):
    """owes: whether it is in the heap."""

    tag: float
    owes: bool


DebtorT = TypeVar("DebtorT", bound=Debtor)


class Debts(Generic[DebtorT]):
    """share: the part of the time that is shared. most_seconds: what a client may owe at most.

    now: in seconds.
    """

    def __init__(self, share: float, most_seconds: float, now: Callable[[], float]) -> None:
        self._share, self._most_seconds, self._now = share, most_seconds, now
        self.virtual_time, self._updated = 0.0, now()
        # Clients that owe, by the tag that they had when they were put in.
        self._owing: list[tuple[float, int, DebtorT]] = []
        self._numbers = count()

    @property
    def rate(self) -> float:
        """Of the virtual time, a second."""
        return self._share / max(1, len(self._owing))

    def advance(self) -> None:
        """Brings the virtual time up to date. Its rate changes where a client has paid."""
        now = self._now()
        left, self._updated = now - self._updated, now
        while self._owing:
            tag, _, client = self._owing[0]
            until_paid = (tag - self.virtual_time) / self.rate
            if until_paid > left:
                break
            self.virtual_time = max(self.virtual_time, tag)
            left -= max(0.0, until_paid)
            heappop(self._owing)
            # It may have been charged since.
            self._note(client)
        self.virtual_time += left * self.rate

    def charge(self, client: DebtorT, seconds: float) -> None:
        """Negative where it was charged too much before."""
        tag = max(self.virtual_time, client.tag) + seconds
        client.tag = min(tag, self.virtual_time + self._most_seconds)
        if not client.owes:
            self._note(client)
            if len(self._owing) > MOST_OWING:
                self._forgive()

    def _forgive(self) -> None:
        """Lets the one off that owes the least."""
        while True:
            tag, _, client = heappop(self._owing)
            if client.tag <= tag:
                client.tag, client.owes = self.virtual_time, False
                return
            # It was charged since.
            self._note(client)

    def _note(self, client: DebtorT) -> None:
        client.owes = client.tag > self.virtual_time
        if client.owes:
            heappush(self._owing, (client.tag, next(self._numbers), client))
