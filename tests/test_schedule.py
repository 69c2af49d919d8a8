"""The schedule of `pytest -n` after the end of a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from tests.schedule import FileByFile

FILES = [f"tests/test_{number}.py::test" for number in range(9)]


class Worker:
    """In place of pytest-xdist's; keeps what it is given."""

    def __init__(self) -> None:
        self.gateway = SimpleNamespace(id="gw")
        self.given: list[list[int]] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given.append(indices)

    def shutdown(self) -> None:
        self.shutting_down = True


def test_no_worker_is_given_a_file_that_is_finished() -> None:
    config = SimpleNamespace(option=SimpleNamespace(), getvalue=lambda _: ["2*popen"])
    schedule = FileByFile(cast("pytest.Config", config), None)
    first, second = workers = [Worker(), Worker()]
    for worker in workers:
        schedule.add_node(worker)
        schedule.add_node_collection(worker, FILES)
    schedule.schedule()
    for given in [index for indices in first.given for index in indices]:
        schedule.mark_test_complete(first, given)
    assert schedule.remove_node(first)
    done: set[int] = set()
    while not schedule.tests_finished:
        waiting = [index for indices in second.given for index in indices if index not in done]
        assert waiting, "the last worker waits for ever"
        done.add(waiting[0])
        schedule.mark_test_complete(second, waiting[0])
    assert all(second.given)
