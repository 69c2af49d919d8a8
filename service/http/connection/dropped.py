"""What clients send after a refusal. It is read, or they would lose the refusal, but slowly."""

from __future__ import annotations

import asyncio

from service.fairness.fair_queue import FairQueue
from service.http.connection.received import HeldFlow

# Of all connections together: it takes the event loop a twentieth of its time.
BYTES_PER_SECOND = 128 * 2**20
# So much is read at once without a wait.
SPARE_SECONDS = 0.005
# One that was let go on has as long to send something before the next one is.
TURN_SECONDS = 0.001


class DroppedBytes:
    """Connections that send what is dropped are read in turn, by clients. For one event loop."""

    def __init__(self) -> None:
        self._waiting: FairQueue[HeldFlow] = FairQueue()
        # When everything that was dropped would have been read at that rate.
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, flow: HeldFlow, client: str, count: int) -> None:
        """So many bytes were dropped. Beyond the rate nothing more is read until it is its turn."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._due = max(self._due, now) + count / BYTES_PER_SECOND
        spare = self._due - now <= SPARE_SECONDS and not self._waiting
        if spare or flow.dropping:
            return
        flow.hold()
        flow.dropping = True
        self._waiting.put(flow, client=client, request=flow, cost=count)
        if self._timer is None:
            self._timer = loop.call_at(self._due, self._next)

    def forget(self, flow: HeldFlow) -> None:
        """Its connection is lost."""
        self._waiting.remove(flow)

    def _next(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._due <= now and self._waiting:
            flow = self._waiting.pop()
            flow.dropping = False
            flow.release()
        if self._waiting:
            self._timer = loop.call_at(max(self._due, now + TURN_SECONDS), self._next)
