"""What a request is charged while it works, and where its work waits for others."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from service.fairness.paced import (
    BYTE_SECONDS,
    Meter,
    Metered,
    charge_bytes,
    credit_images,
    give_way,
    metered,
    pause,
    run_paced,
)
from service.fairness.pacing import ALLOWANCE_SECONDS, Pacer
from tests.service.fairness.test_pacing import LONG_SECONDS, SHARE, Clock, overuse, run

DEAR_BYTES = round(2 * ALLOWANCE_SECONDS / BYTE_SECONDS)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the thread's clock finds a second more."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: float(next(ticks)))


async def paced(pacer: Pacer, client: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await run_paced(pacer, client, work, most_seconds=LONG_SECONDS)


def test_work_of_a_client_beyond_its_share_waits_while_another_is_served() -> None:
    async def work(pacer: Pacer, _: Clock) -> None:
        pieces = 0

        async def upload() -> None:
            nonlocal pieces
            for _piece in range(4):
                charge_bytes(DEAR_BYTES)
                await give_way()
                pieces += 1

        flood = asyncio.ensure_future(paced(pacer, "flood", upload))
        honest = await pacer.begin("honest", LONG_SECONDS)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (pieces, pacer.waiting) == (0, 1)
        pacer.end(honest, 0.0)
        await flood
        assert (pieces, pacer.waiting) == (4, 0)

    run(work)


def test_it_has_its_part_of_the_time_meanwhile() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, "flood")
        await asyncio.sleep(LONG_SECONDS)
        await pacer.begin("honest", LONG_SECONDS)
        pieces = 100

        async def upload() -> None:
            for _piece in range(pieces):
                charge_bytes(DEAR_BYTES)
                await give_way()

        before = clock.seconds
        await paced(pacer, "flood", upload)
        used = pieces * DEAR_BYTES * BYTE_SECONDS
        assert clock.seconds - before == pytest.approx(used / SHARE, rel=0.05)

    run(work)


def test_a_wait_ends_with_the_deadline_of_the_work() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, "flood")
        await pacer.begin("honest", LONG_SECONDS)

        async def late() -> None:
            before = clock.seconds
            assert await give_way(0.05)
            assert clock.seconds - before == pytest.approx(0.05)

        await run_paced(pacer, "flood", late, most_seconds=0.01)

    run(work)


def test_work_of_a_client_within_its_share_goes_on_in_the_next_turn_of_the_loop() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await pacer.begin("honest", LONG_SECONDS)

        async def little() -> None:
            for _piece in range(10):
                assert not await give_way()
                await pause()

        await paced(pacer, "other", little)
        assert clock.seconds == 0.0

    run(work)


def test_a_pause_outside_a_request_is_a_turn_of_the_loop() -> None:
    order: list[str] = []

    async def one(name: str) -> None:
        order.append(name)
        await pause()
        order.append(name)

    async def both() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(both())
    assert order == ["a", "b", "a", "b"]


@pytest.mark.usefixtures("steps")
def test_work_in_a_task_of_its_own_is_charged_to_the_request() -> None:
    charged: list[float] = []

    class Noting(Pacer):
        def end(self, turn: Any, seconds: float, *, inferred: bool = False) -> None:
            charged.append(seconds)
            super().end(turn, seconds, inferred=inferred)

    async def inner() -> None:
        await asyncio.sleep(0)

    async def with_task() -> None:
        await asyncio.wait_for(metered(inner()), LONG_SECONDS)

    async def without_task() -> None:
        await asyncio.wait_for(inner(), LONG_SECONDS)

    async def within() -> None:
        await metered(inner())

    async def main() -> None:
        pacer = Noting(cpus=1)
        for work in (with_task, without_task, within):
            await paced(pacer, "a", work)

    asyncio.run(main())
    if sys.version_info < (3, 12):
        # Each has two steps of its own, and the task two.
        assert charged == [4.0, 2.0, 2.0]
    else:
        # No task is made.
        assert charged == [2.0, 2.0, 2.0]


def test_metered_passes_on_what_a_coroutine_is_sent() -> None:
    class Lost(Exception):
        pass

    async def inner() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        raise Lost

    async def outer() -> None:
        await Metered(inner(), Meter())

    with pytest.raises(Lost):
        asyncio.run(outer())


def test_a_request_that_nobody_else_is_beside_reads_no_clock_to_give_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[None] = []

    def read() -> float:
        reads.append(None)
        return 0.0

    async def other() -> None:
        await asyncio.sleep(1)

    async def work(pacer: Pacer, _: Clock) -> None:
        async def alone() -> None:
            before = len(reads)
            assert not await give_way()
            assert len(reads) == before

        async def beside() -> None:
            before = len(reads)
            assert not await give_way()
            assert len(reads) > before

        monkeypatch.setattr(time, "thread_time", read)
        await paced(pacer, "first", alone)
        served = asyncio.ensure_future(paced(pacer, "second", other))
        await asyncio.sleep(0)
        await paced(pacer, "first", beside)
        served.cancel()
        await asyncio.gather(served, return_exceptions=True)

    run(work)


def test_a_request_whose_image_was_inferred_holds_others_back_after_its_end() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        async def inferred() -> None:
            credit_images(1)

        async def refused() -> None:
            pass

        for honest, waits in ((refused, False), (inferred, True)):
            await overuse(pacer, *(f"flood {number}" for number in range(100)))
            await paced(pacer, "honest", honest)
            before = clock.seconds
            await pacer.begin("flood 99", LONG_SECONDS)
            assert (clock.seconds > before) is waits

    run(work)
