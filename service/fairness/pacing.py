"""When a request may start or go on, on the event loop: clients have equal shares of a part of it.

Unlike a fair queue, the pacer leaves the rest of the time unused, as a token bucket does: those who
need it compete for the CPU, and not for the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from service.fairness.debts import Debts
from service.fairness.loop_client import LoopClient, Turn
from service.fairness.presence import Presence

# Of the CPUs and of one CPU, for all clients beyond their share together.
SHARE_OF_CPUS, MOST_SHARE = 1 / 16, 0.25
# What a client may owe within its share: a page with its files.
ALLOWANCE_SECONDS = 0.01
# What a client used while nobody else was there counts up to this.
MOST_OWED_SECONDS = 0.1
# Requests that start in one turn of the loop, beyond one of each client that waits: some
# milliseconds.
STARTS_AT_ONCE = 8
# Where more wait, none do: those whose clients have left are not known to.
MOST_WAITING = 2000
# A request waits so long at most: health probes are answered within half a second.
MOST_SECONDS, MOST_PROBE_SECONDS = 2.0, 0.2
# A client is served for so long after an image of it was inferred: another one that keeps the loop
# busy between its requests would slow down the next one's decoding and inference.
PRESENT_SECONDS = 1.0
# Of an event loop's timer.
TICK_SECONDS = 0.001
# So many settled clients are kept before they are looked for.
SPARE_CLIENTS = 64


class Pacer:
    """Clients beyond their share wait while one within its share is served. For one event loop.

    Where none is, all wait for turns of the loop only: in each a few requests start, of the clients
    in turn. So clients that flood the service while nobody else is there have all of the loop.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        observe_wait: Callable[[], object] = lambda: None,
        *,
        cpus: int,
    ) -> None:
        """now: in seconds. observe_wait: called when a request begins to wait.

        cpus: of this process.
        """
        self._observe_wait = observe_wait
        # Those that are served, present, wait or owe, and some that are settled.
        self._clients: dict[str, LoopClient] = {}
        self._most_clients = SPARE_CLIENTS
        # Clients within their share that are served.
        self._first = 0
        # Clients that wait, in the order in which they began to.
        self._held: dict[LoopClient, None] = {}
        self._debts: Debts[LoopClient] = Debts(share_of(cpus), MOST_OWED_SECONDS, now)
        self._present: Presence[LoopClient] = Presence(PRESENT_SECONDS, now)
        # When the next of them start: on the loop's clock.
        self._timer: asyncio.Handle | None = None
        self._due = 0.0
        # Requests that have started in this turn of the loop.
        self._started = 0
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._waiting

    async def begin(self, name: str, most_seconds: float) -> Turn:
        """Returns when a request of this client may start; `end` must follow.

        most_seconds: the longest that it waits.
        """
        self._advance()
        client = self._client(name)
        held_back = not self._may_start(client)
        waits = held_back or client.waiting or self._started >= STARTS_AT_ONCE
        if waits and self._waiting < MOST_WAITING:
            if held_back:
                self._observe_wait()
            await self._wait(client, most_seconds)
            self._advance()
        else:
            self._note_started()
        client.served += 1
        self._charge(client, client.cost_seconds)
        return Turn(client, client.cost_seconds)

    def has_no_other(self, turn: Turn) -> bool:
        """Whether a request has none to give way to, whatever it has taken so far.

        No other client within its share is served, and none waits for what this one is charged.
        """
        return not self._held and self._first == turn.client.first

    async def give_way(self, turn: Turn, seconds: float, most_seconds: float) -> bool:
        """In the middle of a request: returns when it may go on, and whether it had to wait.

        seconds: of CPU time on the loop that the request has taken so far.
        most_seconds: the longest that it waits.
        """
        self._advance()
        client = turn.client
        if seconds > turn.charged_seconds:
            self._charge(client, seconds - turn.charged_seconds)
            turn.charged_seconds = seconds
        if self._may_start(client) or self._waiting >= MOST_WAITING:
            return False
        await self._wait(client, most_seconds)
        return True

    def end(self, turn: Turn, seconds: float, *, inferred: bool = False) -> None:
        """seconds: of CPU time on the loop that the request is charged, all in all.

        inferred: whether an image of it took its turn on the device.
        """
        self._advance()
        client = turn.client
        client.served -= 1
        client.cost_seconds = seconds
        if inferred:
            self._present.note(client)
        self._charge(client, seconds - turn.charged_seconds)

    def charge(self, name: str, seconds: float) -> None:
        """Charges a client for what it cost outside of its requests."""
        self._advance()
        self._charge(self._client(name), seconds)

    def _advance(self) -> None:
        self._debts.advance()
        for client in self._present.forget_gone():
            self._charge(client, 0.0)

    def _client(self, name: str) -> LoopClient:
        client = self._clients.get(name)
        if client is None:
            self._forget_settled()
            client = self._clients[name] = LoopClient(self._debts.virtual_time)
        return client

    def _charge(self, client: LoopClient, seconds: float) -> None:
        self._debts.charge(client, seconds)
        here = client.served > 0 or client in self._present
        first = here and not self._beyond(client)
        self._first += first - client.first
        client.first = first
        if self._held:
            self._schedule()

    def _may_start(self, client: LoopClient, number: int = 0) -> bool:
        """Whether one more may, after so many that start now."""
        return not self._first or not self._beyond(client, number * client.cost_seconds)

    def _beyond(self, client: LoopClient, seconds: float = 0.0) -> bool:
        """Whether it is beyond its share with so much more."""
        return client.tag + seconds > self._debts.virtual_time + ALLOWANCE_SECONDS

    async def _wait(self, client: LoopClient, most_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        client.waiting.append(turn)
        self._held[client] = None
        self._waiting += 1
        timer = loop.call_later(most_seconds, _release, turn)
        self._schedule()
        try:
            await turn
        finally:
            timer.cancel()
            self._waiting -= 1
            if turn in client.waiting:
                client.waiting.remove(turn)
            if not client.waiting:
                self._held.pop(client, None)

    def _schedule(self) -> None:
        """Sets the timer for the next ones: at once, or when the first client has paid."""
        if self._timer is not None and not self._due:
            return
        loop = asyncio.get_running_loop()
        due = 0.0
        if not any(map(self._may_start, self._held)):
            tag = min(client.tag for client in self._held) - ALLOWANCE_SECONDS
            wait_seconds = (tag - self._debts.virtual_time) / self._debts.rate
            due = loop.time() + max(TICK_SECONDS, min(wait_seconds, self._present.seconds_left))
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = loop.call_at(due, self._next) if due else loop.call_soon(self._next)

    def _next(self) -> None:
        """One request of each client that may start, and of each in turn up to STARTS_AT_ONCE."""
        self._timer = None
        self._advance()
        number, clients = 0, list(self._held)
        while clients and (number == 0 or self._started < STARTS_AT_ONCE):
            clients = [one for one in clients if one.waiting and self._may_start(one, number)]
            for client in clients:
                _release(client.waiting.popleft())
                self._note_started()
                if not client.waiting:
                    del self._held[client]
            number += 1
        if self._held:
            self._schedule()

    def _note_started(self) -> None:
        if not self._started:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._started += 1

    def _end_turn(self) -> None:
        self._started = 0

    def _forget_settled(self) -> None:
        if len(self._clients) < self._most_clients:
            return
        self._clients = {
            name: client
            for name, client in self._clients.items()
            if client.served
            or client.waiting
            or client in self._present
            or client.tag > self._debts.virtual_time
        }
        self._most_clients = 2 * len(self._clients) + SPARE_CLIENTS


def share_of(cpus: int) -> float:
    """The part of the time that all clients beyond their share have together."""
    return min(MOST_SHARE, SHARE_OF_CPUS * cpus)


def _release(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
