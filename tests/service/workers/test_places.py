"""Which place and which share of the machine a worker takes."""

from __future__ import annotations

import contextlib
import pickle
import socket
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest

from service.workers.places import Place, PlaceTaken, sockets, take_place
from service.workers.share import part
from service.workers.shared_port import PORT_DESCRIPTOR, PORTS, SharedPort

Take = Callable[[int], Place]


@pytest.fixture
def take(tmp_path: Path) -> Iterator[Take]:
    """Takes a place among so many workers; all are released in the end."""
    places: list[Place] = []

    def one(workers: int) -> Place:
        places.append(take_place(tmp_path, workers))
        return places[-1]

    yield one
    for place in places:
        place.release()


def shares(*places: Place) -> list[int]:
    return [place.share for place in places]


def test_each_worker_has_a_place_and_a_share_of_its_own(take: Take) -> None:
    places = [take(3) for _ in range(3)]
    assert [place.number for place in places] == [0, 1, 2]
    assert shares(*places) == [0, 1, 2]


def test_the_successor_of_a_worker_that_died_has_its_place(take: Take) -> None:
    first, second, third = (take(3) for _ in range(3))
    second.release()
    successor = take(3)
    assert (successor.number, successor.share) == (1, 1)
    assert shares(first, third) == [0, 2]


def test_after_a_rolling_restart_the_shares_are_divided_as_before(take: Take) -> None:
    workers = 3
    running = [take(workers) for _ in range(workers)]
    # One of them was replaced before, so that the oldest is not the first.
    running[0].release()
    running[0] = take(workers)
    for index in range(workers):
        successor = take(workers)
        running[index].release()
        running[index] = successor
    assert sorted(shares(*running)) == [0, 1, 2]


def test_more_than_a_rolling_restart_needs_is_refused(take: Take) -> None:
    held = [take(2) for _ in range(4)]
    with pytest.raises(PlaceTaken, match="4 workers run already"):
        take(2)
    assert len(held) == 4


def test_only_places_with_a_socket_are_asked(take: Take, tmp_path: Path) -> None:
    place = take(2)
    assert sockets(tmp_path, 2) == {}
    place.socket.touch()
    assert sockets(tmp_path, 2) == {0: place.socket}


def test_a_port_is_shared_by_processes_with_a_socket_each() -> None:
    port = SharedPort.bound_to("127.0.0.1", 0)
    others = [pickle.loads(ForkingPickler.dumps(port)) for _ in range(2)]
    assert {one.getsockname() for one in others} == {port.getsockname()}
    assert len({one.fileno() for one in (port, *others)}) == 3
    taken = [0, 0]
    for one in others:
        one.listen()
        one.setblocking(False)
    clients = [socket.create_connection(port.getsockname()) for _ in range(64)]
    for index, one in enumerate(others):
        with contextlib.suppress(BlockingIOError):
            while True:
                one.accept()[0].close()
                taken[index] += 1
    # The first one, which does not listen, gets none; of the others each gets a part.
    assert sum(taken) == len(clients)
    assert min(taken) > 0
    for one in (port, *others, *clients):
        one.close()


@pytest.mark.parametrize("limit", [None, 20_000, 1024])
def test_a_port_has_a_higher_descriptor_than_any_connection(
    monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    monkeypatch.setattr("service.workers.shared_port.descriptor_limit", lambda: limit)
    with SharedPort.bound_to("127.0.0.1", 0) as port:
        other = pickle.loads(ForkingPickler.dumps(port))
        other.close()
        expected = 1024 if limit == 1024 else PORT_DESCRIPTOR
        assert expected - PORTS <= port.fileno() < expected
        port.listen()
        with socket.create_connection(port.getsockname()), port.accept()[0] as connection:
            assert connection.fileno() < port.fileno()


@pytest.mark.parametrize("workers", range(1, 10))
@pytest.mark.parametrize("cpus", [1, 2, 6, 8])
def test_every_cpu_is_some_workers_and_parts_differ_by_one(cpus: int, workers: int) -> None:
    parts = [part(range(cpus), share, workers) for share in range(workers)]
    assert {cpu for one in parts for cpu in one} == set(range(cpus))
    sizes = {len(one) for one in parts}
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
    if workers <= cpus:
        assert sum(map(len, parts)) == cpus
