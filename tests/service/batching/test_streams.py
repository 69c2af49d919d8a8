"""Workers that divide one device: what waits is divided, and one image alone has all of it."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from service.batching.batch_sizes import BatchSizes
from service.batching.batcher import Batcher
from service.batching.item import Result
from service.errors import WorkerLost
from tests.service.batching.test_batcher import LATER, Device, answers, failure, numbered, submit
from tests.service.fakes import WAIT_SECONDS, Recorder, eventually


class World:
    """A device of two streams; `alone` is all of it. Batches wait in them until they are opened."""

    def __init__(self, *, divided: bool = True) -> None:
        self.divided = divided
        self.streams = (Device(gated=True), Device(gated=True))
        self.alone = Device(gated=True)
        self.batcher: Batcher[Any] = Batcher(
            self.streams,
            batch_sizes=BatchSizes({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}),
            observer=Recorder(),
            alone=self.alone,
            divided=lambda: self.divided,
        )
        self.batcher.start()

    def images(self, *numbers: int, client: str = "") -> list[Future[Result[Any]]]:
        return submit(self.batcher, numbers, client=client)

    def close(self) -> None:
        for device in (*self.streams, self.alone):
            device.open()
        assert self.batcher.close(WAIT_SECONDS)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def whole() -> Iterator[World]:
    """Not divided yet."""
    world = World(divided=False)
    yield world
    world.close()


def test_until_it_is_divided_every_batch_has_the_whole_device(whole: World) -> None:
    first = whole.images(1)
    assert whole.alone.next_batch() == [1]
    others = whole.images(2, 3, 4)
    whole.alone.finish()
    # All that wait, and not a part of them for each worker.
    assert whole.alone.next_batch() == [2, 3, 4]
    last = whole.images(5)
    assert whole.alone.arrivals.empty()
    whole.alone.finish()
    assert whole.alone.next_batch() == [5]
    whole.alone.finish()
    assert answers(first + others + last) == [1, 2, 3, 4, 5]
    assert [stream.sizes for stream in whole.streams] == [[], []]


def test_once_it_is_divided_the_next_batches_are(whole: World) -> None:
    first = whole.images(1, 2)
    taken = whole.alone.next_batch()
    if len(taken) == 1:
        whole.alone.finish()
        assert whole.alone.next_batch() == [2]
    others = whole.images(3, 4)
    whole.divided = True
    # The one that runs still has all of it.
    for stream in whole.streams:
        with pytest.raises(queue.Empty):
            stream.arrivals.get(timeout=0.05)
    whole.alone.finish()
    assert sorted(stream.next_batch() for stream in whole.streams) == [[3], [4]]
    for stream in whole.streams:
        stream.finish()
    assert answers(first + others) == [1, 2, 3, 4]


def test_a_device_that_stays_whole_estimates_its_latency(whole: World) -> None:
    whole.alone.open()
    before = whole.batcher.latency.batch_seconds(1)
    answers(whole.images(1))
    assert whole.batcher.latency.batch_seconds(1) < before


def nothing_arrives(world: World) -> None:
    for stream in world.streams:
        with pytest.raises(queue.Empty):
            stream.arrivals.get(timeout=0.05)


def test_one_image_has_the_whole_device_and_the_next_are_divided_after_it(world: World) -> None:
    first = world.images(1)
    assert world.alone.next_batch() == [1]
    others = world.images(2, 3, 4)
    # Both workers wait for the one that is alone.
    nothing_arrives(world)
    world.alone.finish()
    assert answers(first) == [1]
    batches = [stream.next_batch() for stream in world.streams]
    assert sorted(map(len, batches)) == [1, 2]
    for stream in world.streams:
        stream.finish()
    assert answers(others) == [2, 3, 4]
    assert world.alone.sizes == [1]


def test_an_image_that_comes_while_a_batch_runs_takes_the_other_stream(world: World) -> None:
    held = world.images(1)
    assert world.alone.next_batch() == [1]
    world.images(2, 3)
    world.alone.finish()
    answers(held)
    both = [stream.next_batch() for stream in world.streams]
    assert sorted(both) == [[2], [3]]
    world.streams[0].finish()
    world.images(4)
    assert world.streams[0].next_batch() == [4]
    assert world.alone.sizes == [1]


def test_more_than_both_take_waits_in_equal_parts(world: World) -> None:
    held = world.images(1)
    assert world.alone.next_batch() == [1]
    world.images(*range(2, 14))
    world.alone.finish()
    answers(held)
    # Twelve wait: half of them would be six, and the largest batch is four.
    assert [len(stream.next_batch()) for stream in world.streams] == [4, 4]
    eventually(lambda: world.batcher.depth == 4)


def images_after_few(
    world: World, *numbers: int, client: str = "many"
) -> list[Future[Result[Any]]]:
    """What waits once an image of a client with few has had the whole device."""
    first = world.images(1, client="few")
    assert world.alone.next_batch() == [1]
    others = world.images(*numbers, client=client)
    world.alone.finish()
    assert answers(first) == [1]
    return others


def test_after_a_client_with_few_images_others_have_the_whole_device_one_by_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.batcher.latency, "observe_whole", lambda *_: None)
    many = images_after_few(world, *range(2, 14))
    assert world.alone.next_batch() == [2]
    nothing_arrives(world)
    second = world.images(20, client="few")
    world.alone.finish()
    # It waited for one short batch, and has the whole device as well.
    assert world.alone.next_batch() == [20]
    nothing_arrives(world)
    for device in (world.alone, *world.streams):
        device.open()
    assert answers(second) == [20]
    assert answers(many) == list(range(2, 14))


def test_a_batch_that_is_to_have_the_whole_device_waits_for_those_in_streams(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.batcher.latency, "observe_whole", lambda *_: None)
    held = world.images(1, client="many")
    assert world.alone.next_batch() == [1]
    world.images(*range(2, 20), client="many")
    world.alone.finish()
    answers(held)
    assert [len(stream.next_batch()) for stream in world.streams] == [4, 4]
    few = world.images(20, client="few")
    world.streams[0].finish()
    # At once, for the other stream may be at work for long.
    assert world.streams[0].next_batch() == [20]
    world.streams[1].finish()
    nothing_arrives(world)
    world.streams[0].finish()
    assert answers(few) == [20]
    assert len(world.alone.next_batch()) == 1
    nothing_arrives(world)


def test_clients_that_all_have_little_divide_the_device(world: World) -> None:
    images_after_few(world, *range(2, 6), client="some")
    for stream in world.streams:
        assert len(stream.next_batch()) == 1


def test_where_the_whole_device_is_much_slower_than_its_streams_they_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two streams do ten images a second each.
    monkeypatch.setattr(world.batcher.latency, "_whole_seconds", 0.2)
    monkeypatch.setattr(world.batcher.latency, "observe_whole", lambda *_: None)
    images_after_few(world, *range(2, 14))
    for stream in world.streams:
        assert len(stream.next_batch()) == 1


def test_what_runs_alone_says_nothing_of_the_latency_of_a_stream(world: World) -> None:
    world.alone.open()
    before = world.batcher.latency.batch_seconds(1)
    answers(world.images(1))
    assert world.batcher.latency.batch_seconds(1) == before
    for stream in world.streams:
        stream.open()
    self_test = world.batcher.submit(numbered(2), deadline=LATER, worker=1)
    assert self_test.result(WAIT_SECONDS).output == 2
    assert world.batcher.latency.batch_seconds(1) < before


def test_self_tests_reach_the_whole_device_and_a_stream(world: World) -> None:
    for number, device in enumerate((world.alone, world.streams[1])):
        tested = world.batcher.submit(numbered(number), deadline=LATER, worker=number)
        assert device.next_batch() == [number]
        device.finish()
        assert tested.result(WAIT_SECONDS).output == number


def test_a_batch_that_is_stuck_alone_does_not_hold_the_others(world: World) -> None:
    stuck = world.images(1)
    assert world.alone.next_batch() == [1]
    waiting = world.images(2)
    world.batcher.fail_stuck_batches(0.0)
    assert isinstance(failure(stuck[0]), WorkerLost)
    assert world.batcher.stuck
    # The other worker takes it: alone again, for nothing else is known to run.
    for _ in range(2):
        world.alone.finish()
    assert answers(waiting) == [2]
