"""Bodies take turns on the event loop, so that many large ones don't hold it between them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from service.fairness.fair_queue import FairQueue

# Received, parsed and copied in about 3 ms. Each of sixty connections has up to 256 KB for one
# turn of the loop, together ten times as much.
BYTES_AT_ONCE = 2**20
# What a piece costs however small it is, as bytes.
PIECE_BYTES = 16 * 2**10


@dataclass(slots=True, eq=False)
class _Piece:
    cost: int
    taken: asyncio.Future[None]


class ReadTurns:
    """At most BYTES_AT_ONCE are taken from all bodies in one turn of the loop, by clients in turn.

    A body that waits is not read: the server stops receiving from its client. For one event loop.
    """

    def __init__(self) -> None:
        self._waiting: FairQueue[_Piece] = FairQueue()
        self._left = BYTES_AT_ONCE
        self._scheduled = False

    async def take(self, client: str, count: int) -> None:
        """Called for a piece of so many bytes, before the next one is received."""
        cost = max(count, PIECE_BYTES)
        self._schedule()
        if self._left > 0 and not self._waiting:
            self._left -= cost
            return
        piece = _Piece(cost, asyncio.get_running_loop().create_future())
        self._waiting.put(piece, client=client, request="bodies", cost=cost)
        try:
            await piece.taken
        finally:
            self._waiting.remove(piece)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """A turn of the loop begins, with the pieces that wait."""
        self._scheduled = False
        self._left = BYTES_AT_ONCE
        while self._waiting and self._left > 0:
            piece = self._waiting.pop()
            self._left -= piece.cost
            if not piece.taken.done():
                piece.taken.set_result(None)
        if self._left < BYTES_AT_ONCE:
            self._schedule()
