"""Clients share the places of messages that arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from service.grpc.arrivals import Arrivals, arrivals_of
from tests.service.fakes import WAIT_SECONDS


def in_time(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, WAIT_SECONDS))


def test_half_of_the_byte_budget_holds_the_largest_messages() -> None:
    assert arrivals_of(640, 20) == 16
    assert arrivals_of(10, 20) == 2


def test_one_client_leaves_room_and_those_that_wait_take_turns() -> None:
    async def work() -> None:
        arrivals, order = Arrivals(2), list[str]()
        go = asyncio.Event()

        async def arrive(client: str) -> None:
            async with arrivals.place(client):
                order.append(client)
                await go.wait()

        first = [asyncio.ensure_future(arrive("a")) for _ in range(4)]
        await asyncio.sleep(0)
        late = asyncio.ensure_future(arrive("b"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert arrivals.used <= 2
        go.set()
        await asyncio.gather(*first, late)
        # Before the last of those that came earlier.
        assert order.index("b") < 4
        assert arrivals.used == 0

    in_time(work())


def test_a_place_is_free_again_after_a_cancellation() -> None:
    async def work() -> None:
        arrivals = Arrivals(2)
        go = asyncio.Event()

        async def arrive() -> None:
            async with arrivals.place("a"):
                await go.wait()

        tasks = [asyncio.ensure_future(arrive()) for _ in range(6)]
        for _ in range(3):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert arrivals.used == 0
        async with arrivals.place("a"):
            assert arrivals.used == 1

    in_time(work())
