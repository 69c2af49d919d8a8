"""Decoding in processes: turns, cancellation, failures."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import psutil
import pytest

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import (
    DeadlineExceeded,
    DecoderFailed,
    ImageTooLarge,
    InvalidImage,
    ShuttingDown,
)
from service.imaging import lane
from service.imaging.pool import (
    LOW_PRIORITY,
    QUICK_WAITING,
    DecodedImage,
    DecoderPool,
)
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.images import header_alone, plain
from tests.service.imaging.processes import decoders, fork_servers

T = TypeVar("T")
Decoding = asyncio.Task[DecodedImage]

PREPROCESSING = Preprocessing(8, 8, "bilinear", "RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LATER = float("inf")
RED = plain("red")
# Which takes some 60 ms.
SLOW = plain("red", (1700, 1700))


@pytest.fixture
def seconds() -> list[float]:
    return []


@pytest.fixture
def pool(seconds: list[float]) -> Iterator[DecoderPool]:
    pool = make(1, seconds)
    yield pool
    pool.close()


@pytest.fixture
def pair() -> Iterator[DecoderPool]:
    """Of two processes in either lane."""
    pool = make(2, [])
    yield pool
    pool.close()


def make(threads: int, seconds: list[float]) -> DecoderPool:
    return DecoderPool(
        threads=threads,
        max_pixels=3_000_000,
        timeout_seconds=WAIT_SECONDS,
        observe=seconds.append,
    )


def processes() -> set[int]:
    """Those that decode."""
    return decoders(fork_servers())


def nice(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid) - os.getpriority(os.PRIO_PROCESS, 0)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, WAIT_SECONDS))


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, condition)


def decode(pool: DecoderPool, data: bytes = RED, client: str = "", request: str = "") -> Decoding:
    return asyncio.ensure_future(
        pool.decode(data, PREPROCESSING, deadline=LATER, client=client, request=request)
    )


async def stopped(pool: DecoderPool, data: bytes = RED) -> tuple[int, Decoding]:
    """A process that has an image of that kind and does nothing with it, and the image."""
    before = processes()
    await decode(pool, data)
    (pid,) = processes() - before or processes()
    os.kill(pid, signal.SIGSTOP)
    image = decode(pool, data, client="stopped")
    await until(lambda: pool.waiting == 0)
    return pid, image


class Order:
    """The names of images as they are decoded, from when it is made."""

    def __init__(self, images: dict[str, Decoding]) -> None:
        self._images, self._done = images, list[str]()
        for name, image in images.items():
            image.add_done_callback(lambda _, name=name: self._done.append(name))  # type: ignore[misc]

    async def complete(self) -> list[str]:
        await asyncio.gather(*self._images.values())
        return self._done


def test_pixels_and_how_long_they_took(pool: DecoderPool, seconds: list[float]) -> None:
    started = time.monotonic()
    decoded = run(pool.decode(RED, PREPROCESSING, deadline=LATER))
    assert 0 < decoded.seconds < time.monotonic() - started
    assert decoded.pixels.shape == (8, 8, 3)
    assert decoded.pixels[0, 0].tolist() == [255, 0, 0]
    assert decoded.hidden_pixels == 0
    assert seconds == [decoded.seconds]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (RED[:60], InvalidImage),
        (header_alone("PNG", 1733, 1732), ImageTooLarge),
        (header_alone("BMP", 60_000, 60_000), ImageTooLarge),
    ],
)
def test_what_is_wrong_with_an_image_is_raised(
    pool: DecoderPool, seconds: list[float], data: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(pool.decode(data, PREPROCESSING, deadline=LATER))
    assert seconds == []


def test_past_its_deadline_an_image_is_not_decoded(pool: DecoderPool, seconds: list[float]) -> None:
    with pytest.raises(DeadlineExceeded, match="before the image was decoded"):
        run(pool.decode(RED, PREPROCESSING, deadline=time.monotonic()))
    assert seconds == []


def test_places_are_given_back_whatever_happens(pool: DecoderPool) -> None:
    async def work() -> int:
        decoded = 0
        for turn in range(12):
            image = decode(pool, RED[:60] if turn % 3 == 0 else RED)
            if turn % 3 == 1:
                await asyncio.sleep(0)
                image.cancel()
            (outcome,) = await asyncio.gather(image, return_exceptions=True)
            decoded += isinstance(outcome, DecodedImage)
        return decoded

    assert run(work()) == 4


def test_clients_take_turns(pool: DecoderPool) -> None:
    async def work() -> list[str]:
        pid, image = await stopped(pool)
        order = Order({name: decode(pool, client=name[0]) for name in ("a1", "a2", "a3", "b1")})
        await until(lambda: pool.waiting == 4)
        os.kill(pid, signal.SIGCONT)
        await image
        return await order.complete()

    assert run(work()) == ["a1", "b1", "a2", "a3"]


def test_requests_of_a_client_take_turns(pool: DecoderPool) -> None:
    async def work() -> list[str]:
        pid, image = await stopped(pool)
        order = Order({name: decode(pool, request=name[0]) for name in ("1a", "1b", "1c", "2a")})
        await until(lambda: pool.waiting == 4)
        os.kill(pid, signal.SIGCONT)
        await image
        return await order.complete()

    assert run(work()) == ["1a", "2a", "1b", "1c"]


def test_a_slow_image_keeps_no_quick_one_waiting(pool: DecoderPool) -> None:
    """Nor do many of them."""

    async def work() -> None:
        pid, _ = await stopped(pool, SLOW)
        slow = [decode(pool, SLOW) for _ in range(3)]
        await until(lambda: pool.waiting == 3)
        assert (await decode(pool)).pixels.shape == (8, 8, 3)
        assert nice(pid) == LOW_PRIORITY
        (quick,) = processes() - {pid}
        assert nice(quick) == 0
        assert not any(image.done() for image in slow)

    run(work())


def test_the_bulk_of_a_client_is_decoded_at_a_low_priority(pool: DecoderPool) -> None:
    """And keeps no image of another client waiting, nor one of a high priority."""

    async def work() -> None:
        quick, image = await stopped(pool)
        few = [decode(pool) for _ in range(QUICK_WAITING)]
        await until(lambda: pool.waiting == QUICK_WAITING)
        # Of those beyond, none waits for the process that is stopped.
        await asyncio.gather(*(decode(pool) for _ in range(3)))
        (bulk,) = processes() - {quick}
        assert (nice(quick), nice(bulk)) == (0, LOW_PRIORITY)
        others = [
            decode(pool, client="other"),
            asyncio.ensure_future(
                pool.decode(RED, PREPROCESSING, deadline=LATER, request="now", priority=1)
            ),
        ]
        await until(lambda: pool.waiting == QUICK_WAITING + 2)
        assert not any(one.done() for one in (*few, *others))
        os.kill(quick, signal.SIGCONT)
        await asyncio.gather(image, *few, *others)

    run(work())


def test_no_image_of_the_bulk_is_begun_while_a_client_with_few_is_served(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.fairness.precedence.MOST_HELD_SECONDS", WAIT_SECONDS)

    async def work() -> None:
        precedence = pool.precedence
        with precedence.serving("flood", 100):
            with precedence.serving("honest", 1):
                bulk = [decode(pool, client="flood") for _ in range(3)]
                bulk.append(decode(pool, SLOW, client="flood"))
                await until(lambda: pool.waiting == 4)
                await decode(pool, client="honest")
                assert pool.waiting == 4
                bulk[0].cancel()
                await until(lambda: pool.waiting == 3)
            await asyncio.gather(*bulk[1:])

    run(work())


def test_the_bulk_is_begun_after_a_limited_time_all_the_same(pool: DecoderPool) -> None:
    async def work() -> None:
        with pool.precedence.serving("flood", 100), pool.precedence.serving("honest", 1):
            await asyncio.gather(*(decode(pool, client="flood") for _ in range(3)))

    run(work())


def test_a_pool_that_is_closed_begins_nothing_that_was_held_back() -> None:
    async def work() -> None:
        pool = make(1, [])
        with pool.precedence.serving("flood", 100), pool.precedence.serving("honest", 1):
            bulk = [decode(pool, client="flood") for _ in range(3)]
            await until(lambda: pool.waiting == 3)
            await asyncio.to_thread(pool.close)
            outcomes = await asyncio.gather(*bulk, return_exceptions=True)
        assert {type(one) for one in outcomes} == {ShuttingDown}

    run(work())


def test_a_client_alone_gets_every_process(pair: DecoderPool) -> None:
    async def work(data: bytes) -> None:
        before = processes()
        first, image = await stopped(pair, data)
        await asyncio.gather(*(decode(pair, data) for _ in range(4)))
        assert len(processes() - before) == 2
        os.kill(first, signal.SIGCONT)
        await image

    run(work(RED))
    run(work(SLOW))


def test_what_hides_its_size_waits_with_the_slow(pool: DecoderPool) -> None:
    """Its screen is smaller than its first frame."""
    gif = bytearray(plain("red", (2000, 1400), "GIF"))
    gif[6:10] = b"\x01\0\x01\0"

    async def work() -> int:
        pid, image = await stopped(pool, SLOW)
        hidden = decode(pool, bytes(gif))
        await until(lambda: pool.waiting == 1)
        assert (await decode(pool)).pixels.shape == (8, 8, 3)
        os.kill(pid, signal.SIGCONT)
        await image
        return (await hidden).hidden_pixels

    assert run(work()) == 2000 * 1400 - 1


def test_a_cancelled_image_leaves_the_queue(pool: DecoderPool) -> None:
    async def work() -> None:
        pid, image = await stopped(pool)
        left, stays = decode(pool, client="a"), decode(pool, client="b")
        await until(lambda: pool.waiting == 2)
        left.cancel()
        await until(lambda: pool.waiting == 1)
        os.kill(pid, signal.SIGCONT)
        await asyncio.gather(image, stays)
        assert processes() == {pid}
        await asyncio.gather(left, return_exceptions=True)
        assert left.cancelled()

    run(work())


@pytest.mark.parametrize("data", [RED, SLOW], ids=["quick", "slow"])
def test_a_cancelled_image_ends_its_process(pool: DecoderPool, data: bytes) -> None:
    async def work() -> None:
        pid, image = await stopped(pool, data)
        waiting = decode(pool, data)
        await until(lambda: pool.waiting == 1)
        image.cancel()
        await waiting
        assert not psutil.pid_exists(pid)
        assert len(processes()) == 1

    run(work())


def test_the_client_is_charged_for_the_new_process(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "RESTART_SECONDS", 1000.0)

    async def work() -> list[str]:
        _, image = await stopped(pool, SLOW)
        names = ("stopped 1", "stopped 2", "b1", "b2", "b3")
        order = Order({name: decode(pool, SLOW, client=name.rstrip(" 123")) for name in names})
        await until(lambda: pool.waiting == 5)
        image.cancel()
        return await order.complete()

    assert run(work()) == ["b1", "b2", "b3", "stopped 1", "stopped 2"]


def test_its_start_waits_for_nothing_and_its_end_leaves_nothing(pool: DecoderPool) -> None:
    before = fork_servers()
    pool.start()
    eventually(lambda: len(fork_servers() - before) == 1)
    run(pool.decode(RED, PREPROCESSING, deadline=LATER))
    assert pool.problem is None
    pool.close()
    assert fork_servers() <= before
    with pytest.raises(ShuttingDown):
        run(pool.decode(RED, PREPROCESSING, deadline=LATER))


def test_it_finds_out_when_processes_can_be_started_again(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(DecoderFailed):
            run(pool.decode(RED, PREPROCESSING, deadline=LATER))
        assert pool.problem
        pool.check_health()

    def recovered() -> bool:
        pool.check_health()
        return pool.problem is None

    eventually(recovered)
    run(pool.decode(RED, PREPROCESSING, deadline=LATER))


def test_closing_waits_for_no_image(pool: DecoderPool) -> None:
    """The one under way is given up with its process, and the one that waits is not begun."""

    async def work() -> list[DecodedImage | BaseException]:
        _, image = await stopped(pool)
        waiting = decode(pool)
        await until(lambda: pool.waiting == 1)
        await asyncio.to_thread(pool.close)
        return [*await asyncio.gather(image, waiting, return_exceptions=True)]

    assert [type(outcome) for outcome in run(work())] == [ShuttingDown, ShuttingDown]
    assert processes() == set()
