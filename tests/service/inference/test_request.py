"""When a request's result is due."""

from __future__ import annotations

import pytest

from service.inference.request import RequestDeadline


@pytest.mark.parametrize(
    ("timeout_ms", "now", "due"),
    [
        (None, 100.0, 110.0),
        # The server's limit counts again once the images are there.
        (None, 107.0, 117.0),
        # The client's does not.
        (2500, 100.0, 102.5),
        (2500, 107.0, 102.5),
        (60_000, 100.0, 110.0),
        (13_000, 107.0, 113.0),
    ],
)
def test_the_earlier_of_the_clients_deadline_and_the_servers(
    timeout_ms: float | None, now: float, due: float
) -> None:
    assert RequestDeadline(100.0, timeout_ms, 10.0).at(now) == due
