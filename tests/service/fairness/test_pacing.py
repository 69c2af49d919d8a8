"""Which requests start on the event loop, and when: on a clock of the test's own."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from service.fairness.debts import MOST_OWING
from service.fairness.loop_client import FIRST_COST_SECONDS
from service.fairness.pacing import (
    ALLOWANCE_SECONDS,
    MOST_OWED_SECONDS,
    MOST_WAITING,
    PRESENT_SECONDS,
    SPARE_CLIENTS,
    STARTS_AT_ONCE,
    Pacer,
    share_of,
)

LONG_SECONDS = 1e6
CPUS = 4
SHARE = share_of(CPUS)
COST_SECONDS = 0.001


class Clock(selectors.DefaultSelector):
    """A selector that does not wait: the time goes on at once."""

    seconds = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.seconds += timeout or 0.0
        return []


def run(work: Callable[[Pacer, Clock], Coroutine[Any, Any, None]]) -> None:
    clock = Clock()
    loop = asyncio.SelectorEventLoop(clock)
    loop.time = lambda: clock.seconds  # type: ignore[method-assign]
    try:
        loop.run_until_complete(work(Pacer(lambda: clock.seconds, cpus=CPUS), clock))
    finally:
        loop.close()


async def request(pacer: Pacer, client: str, seconds: float = COST_SECONDS) -> None:
    """It keeps the loop for so long."""
    turn = await pacer.begin(client, LONG_SECONDS)
    await asyncio.sleep(seconds)
    pacer.end(turn, seconds)


async def overuse(pacer: Pacer, *clients: str) -> None:
    """Each is beyond its share from now on, by what is owed at most."""
    for client in clients:
        await request(pacer, client, 2 * MOST_OWED_SECONDS)


async def served(
    pacer: Pacer, clock: Clock, seconds: float, costs: dict[str, float], connections: int = 8
) -> Counter[str]:
    """The loop's seconds that each client had of the next so many, on each of its connections."""
    ends, used = clock.seconds + seconds, Counter[str]()

    async def connection(client: str, cost: float) -> None:
        while True:
            await request(pacer, client, cost)
            if clock.seconds > ends:
                return
            used[client] += cost  # type: ignore[assignment]

    tasks = [
        asyncio.ensure_future(connection(client, cost))
        for client, cost in costs.items()
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return used


def test_a_client_alone_never_waits() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, "flood")
        before = clock.seconds
        for _ in range(1000):
            await request(pacer, "flood")
            assert pacer.waiting == 0
        assert clock.seconds - before == pytest.approx(1000 * COST_SECONDS)

    run(work)


def test_a_client_within_its_share_does_not_wait_for_another() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, "flood")
        await pacer.begin("flood", LONG_SECONDS)
        await pacer.begin("other", LONG_SECONDS)
        before = clock.seconds
        await request(pacer, "honest")
        assert clock.seconds - before == pytest.approx(COST_SECONDS)

    run(work)


def test_a_client_beyond_its_share_waits_until_another_has_been_served() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, "flood")
        honest = await pacer.begin("honest", LONG_SECONDS)
        before = clock.seconds
        flood = asyncio.ensure_future(pacer.begin("flood", LONG_SECONDS))
        await asyncio.sleep(0.03)
        assert (pacer.waiting, flood.done()) == (1, False)
        pacer.end(honest, COST_SECONDS)
        await flood
        assert pacer.waiting == 0
        assert clock.seconds - before == pytest.approx(0.03)

    run(work)


def test_it_has_its_part_of_the_loop_while_another_is_served() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, "flood")
        await pacer.begin("honest", LONG_SECONDS)
        used = await served(pacer, clock, 10.0, {"flood": COST_SECONDS})
        owed = MOST_OWED_SECONDS - ALLOWANCE_SECONDS
        assert used["flood"] == pytest.approx(10.0 * SHARE - owed, rel=0.05)

    run(work)


def test_clients_beyond_their_share_have_equal_parts_of_it() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        costs = {"cheap": COST_SECONDS, "dear": 10 * COST_SECONDS, "other": COST_SECONDS}
        await overuse(pacer, *costs)
        await pacer.begin("honest", LONG_SECONDS)
        await served(pacer, clock, 2.0, costs)
        used = await served(pacer, clock, 30.0, costs)
        assert sum(used.values()) == pytest.approx(30.0 * SHARE, rel=0.05)
        assert max(used.values()) == pytest.approx(min(used.values()), rel=0.05)

    run(work)


def test_many_clients_that_together_use_much_are_beyond_their_shares() -> None:
    """Although each of them uses less than one client may."""

    async def work(pacer: Pacer, clock: Clock) -> None:
        for _ in range(200):
            for number in range(8):
                await request(pacer, f"flood {number}")
        await pacer.begin("honest", LONG_SECONDS)
        used = await served(pacer, clock, 0.04, {f"flood {n}": COST_SECONDS for n in range(8)})
        assert used.total() == 0
        used = await served(pacer, clock, 30.0, {f"flood {n}": COST_SECONDS for n in range(8)})
        assert used.total() == pytest.approx(30.0 * SHARE, rel=0.1)

    run(work)


def test_a_client_is_within_its_share_again_once_it_has_paid() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, "flood")
        await pacer.begin("honest", LONG_SECONDS)
        await asyncio.sleep((MOST_OWED_SECONDS - ALLOWANCE_SECONDS) / SHARE + 0.01)
        before = clock.seconds
        await pacer.begin("flood", LONG_SECONDS)
        assert clock.seconds == before

    run(work)


def test_a_wait_has_a_bound() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, *(f"flood {number}" for number in range(100)))
        await pacer.begin("honest", LONG_SECONDS)
        before = clock.seconds
        await pacer.begin("flood 99", 0.2)
        assert clock.seconds - before == pytest.approx(0.2)

    run(work)


def test_a_limited_number_waits() -> None:
    async def work(pacer: Pacer, _: Clock) -> None:
        await overuse(pacer, "flood")
        await pacer.begin("honest", LONG_SECONDS)
        more = 10
        tasks = [
            asyncio.ensure_future(pacer.begin("flood", LONG_SECONDS))
            for _ in range(MOST_WAITING + more)
        ]
        await asyncio.sleep(0)
        assert pacer.waiting == MOST_WAITING
        assert sum(task.done() for task in tasks) == more
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert pacer.waiting == 0

    run(work)


def test_what_waited_starts_in_turns() -> None:
    """What comes meanwhile does not wait for all of it."""

    async def work(pacer: Pacer, _: Clock) -> None:
        clients = [f"flood {number}" for number in range(3)]
        await overuse(pacer, *clients)
        honest = await pacer.begin("honest", LONG_SECONDS)
        started: Counter[str] = Counter()

        async def start(client: str) -> None:
            await pacer.begin(client, LONG_SECONDS)
            started[client] += 1

        tasks = [asyncio.ensure_future(start(client)) for client in clients * 20]
        await asyncio.sleep(0)
        pacer.end(honest, COST_SECONDS)
        seen: list[int] = []
        while not all(task.done() for task in tasks):
            before = started.total()
            await asyncio.sleep(0)
            seen.append(started.total() - before)
        assert set(started.values()) == {20}
        assert max(seen) < STARTS_AT_ONCE + len(clients)

    run(work)


def test_many_requests_at_once_start_in_turns_of_the_loop() -> None:
    """Of clients within their shares too; one that comes meanwhile waits for one turn."""

    async def work(pacer: Pacer, _: Clock) -> None:
        tasks = [asyncio.ensure_future(pacer.begin("one", LONG_SECONDS)) for _ in range(40)]
        await asyncio.sleep(0)
        assert sum(task.done() for task in tasks) == STARTS_AT_ONCE
        assert pacer.waiting == 40 - STARTS_AT_ONCE
        other = asyncio.ensure_future(pacer.begin("other", LONG_SECONDS))
        for _turn in range(3):
            await asyncio.sleep(0)
        assert other.done()
        assert not all(task.done() for task in tasks)
        await asyncio.gather(*tasks)

    run(work)


def test_a_request_that_is_cancelled_while_it_waits_leaves_nothing() -> None:
    async def work(pacer: Pacer, _: Clock) -> None:
        await overuse(pacer, "flood")
        await pacer.begin("honest", LONG_SECONDS)
        tasks = [asyncio.ensure_future(pacer.begin("flood", LONG_SECONDS)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        await asyncio.gather(*tasks[:2], return_exceptions=True)
        assert pacer.waiting == 1
        await tasks[2]
        assert pacer.waiting == 0

    run(work)


def test_requests_that_start_at_once_are_charged_before_their_cost_is_known() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await pacer.begin("honest", LONG_SECONDS)
        before = clock.seconds
        tasks = [asyncio.ensure_future(pacer.begin("flood", LONG_SECONDS)) for _ in range(100)]
        for _ in range(100):
            await asyncio.sleep(0)
        most = ALLOWANCE_SECONDS / FIRST_COST_SECONDS + 1
        most += (clock.seconds - before) * SHARE / FIRST_COST_SECONDS
        assert sum(task.done() for task in tasks) == pytest.approx(most, abs=1)
        assert pacer.waiting == pytest.approx(100 - most, abs=1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert pacer.waiting == 0

    run(work)


def test_clients_that_have_paid_are_forgotten() -> None:
    async def work(pacer: Pacer, _: Clock) -> None:
        for number in range(50 * SPARE_CLIENTS):
            await request(pacer, str(number))
            await asyncio.sleep(0.1)
        assert len(pacer._clients) <= 2 * SPARE_CLIENTS

    run(work)


def test_a_client_pays_for_what_it_cost_outside_of_its_requests() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        pacer.charge("sender", 2 * MOST_OWED_SECONDS)
        honest = await pacer.begin("honest", LONG_SECONDS)
        began = clock.seconds
        await request(pacer, "sender")
        assert clock.seconds - began > (MOST_OWED_SECONDS - ALLOWANCE_SECONDS) / 2
        pacer.end(honest, 0.0)

    run(work)


def test_clients_that_owe_are_not_remembered_without_end() -> None:
    """One that sends from many networks has as many names; the one that owes most still owes."""

    async def work(pacer: Pacer, _clock: Clock) -> None:
        await overuse(pacer, "flood")
        for number in range(3 * MOST_OWING):
            await request(pacer, f"2001:db8:0:{number:x}::/64", seconds=0.0)
            pacer.charge(f"2001:db8:0:{number:x}::/64", COST_SECONDS)
        assert len(pacer._debts._owing) <= MOST_OWING
        assert len(pacer._clients) <= 2 * MOST_OWING + 2 * SPARE_CLIENTS
        assert pacer._clients["flood"].owes

    run(work)


def test_fewer_cpus_give_clients_beyond_their_share_less() -> None:
    assert [share_of(cpus) for cpus in (1, 2, 4, 64)] == [1 / 16, 1 / 8, 1 / 4, 1 / 4]


def test_a_client_is_served_for_a_while_after_its_image_was_inferred() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, *(f"flood {number}" for number in range(100)))
        honest = await pacer.begin("honest", LONG_SECONDS)
        pacer.end(honest, COST_SECONDS, inferred=True)
        began = clock.seconds
        flood = asyncio.ensure_future(pacer.begin("flood 99", LONG_SECONDS))
        await asyncio.sleep(PRESENT_SECONDS / 2)
        assert not flood.done()
        await flood
        assert clock.seconds - began == pytest.approx(PRESENT_SECONDS, abs=0.01)

    run(work)


def test_the_last_image_that_was_inferred_counts() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, *(f"flood {number}" for number in range(100)))
        for _ in range(2):
            honest = await pacer.begin("honest", LONG_SECONDS)
            pacer.end(honest, COST_SECONDS, inferred=True)
            await asyncio.sleep(PRESENT_SECONDS / 2)
        began = clock.seconds
        await pacer.begin("flood 99", LONG_SECONDS)
        assert clock.seconds - began == pytest.approx(PRESENT_SECONDS / 2, abs=0.01)

    run(work)


def test_a_client_beyond_its_share_holds_nobody_back_by_its_images() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        await overuse(pacer, "flood", "other")
        flood = await pacer.begin("flood", LONG_SECONDS)
        pacer.end(flood, 2 * MOST_OWED_SECONDS, inferred=True)
        began = clock.seconds
        await pacer.begin("other", LONG_SECONDS)
        assert clock.seconds == began

    run(work)


def test_a_client_alone_does_not_wait_for_itself() -> None:
    async def work(pacer: Pacer, clock: Clock) -> None:
        first = await pacer.begin("only", LONG_SECONDS)
        pacer.end(first, 2 * MOST_OWED_SECONDS, inferred=True)
        assert pacer.has_no_other(await pacer.begin("only", LONG_SECONDS))
        began = clock.seconds
        for _ in range(100):
            await request(pacer, "only")
        assert clock.seconds - began == pytest.approx(100 * COST_SECONDS)

    run(work)
