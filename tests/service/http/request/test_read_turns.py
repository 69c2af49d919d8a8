"""How much of all bodies is taken in one turn of the event loop, and whose."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from service.http.request.read_turns import BYTES_AT_ONCE, PIECE_BYTES, ReadTurns
from tests.service.fakes import WAIT_SECONDS

PIECE = 256 * 1024


class Loop:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.turn = 0
        self._count()

    def _count(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self._count)


def run(work: Callable[[Loop, ReadTurns], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        await asyncio.wait_for(work(Loop(), ReadTurns()), WAIT_SECONDS)

    asyncio.run(within())


def test_many_bodies_share_a_turn_of_the_loop() -> None:
    async def work(loop: Loop, turns: ReadTurns) -> None:
        taken: Counter[int] = Counter()

        async def body(size: int) -> None:
            for _ in range(10):
                await turns.take("a", size)
                taken[loop.turn] += max(size, PIECE_BYTES)

        await asyncio.gather(*(body(PIECE) for _ in range(60)), *(body(1) for _ in range(60)))
        assert sum(taken.values()) == 600 * (PIECE + PIECE_BYTES)
        assert max(taken.values()) < BYTES_AT_ONCE + PIECE
        # And no less than that, or uploads were slower than need be.
        assert len(taken) < 2 * sum(taken.values()) / BYTES_AT_ONCE

    run(work)


def test_a_body_alone_never_waits() -> None:
    async def work(loop: Loop, turns: ReadTurns) -> None:
        for _ in range(20):
            before = loop.turn
            await turns.take("a", PIECE)
            assert loop.turn == before
            await asyncio.sleep(0)

    run(work)


def test_another_client_does_not_wait_for_all_bodies_of_one() -> None:
    async def work(_: Loop, turns: ReadTurns) -> None:
        order: list[str] = []

        async def body(client: str) -> None:
            await turns.take(client, PIECE)
            order.append(client)

        many = [asyncio.ensure_future(body("a")) for _ in range(100)]
        await asyncio.sleep(0)
        await asyncio.gather(body("b"), *many)
        assert order.index("b") < 2 * BYTES_AT_ONCE // PIECE + 1

    run(work)


def test_a_body_that_is_given_up_takes_no_turn() -> None:
    async def work(_: Loop, turns: ReadTurns) -> None:
        bodies = [asyncio.ensure_future(turns.take("a", BYTES_AT_ONCE)) for _ in range(5)]
        await asyncio.sleep(0)
        for body in bodies:
            body.cancel()
        await asyncio.gather(*bodies, return_exceptions=True)
        assert not turns._waiting
        await turns.take("a", 1)

    run(work)
