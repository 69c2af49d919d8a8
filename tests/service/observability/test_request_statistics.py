"""Requests and where their time went, by the timings of their images."""

from __future__ import annotations

import time

import pytest

from service.inference.request import RowTiming
from service.observability.request_statistics import RequestStatistics


def test_the_phases_are_those_of_the_image_that_was_done_last() -> None:
    statistics = RequestStatistics()
    with statistics.request(2) as timings:
        now = time.monotonic()
        timings += [RowTiming(1.0, 2.0, 3.0, now), RowTiming(9.0, 9.0, 9.0, now - 1)]
    assert (statistics.images, statistics.success.count, statistics.fail.count) == (2, 1, 0)
    phases = (statistics.decode, statistics.queue, statistics.inference)
    assert [one.seconds for one in phases] == [1.0, 2.0, 3.0]
    assert 0 <= statistics.outputs.seconds <= statistics.success.seconds
    assert statistics.last_ms > 1_700_000_000_000


def test_a_request_with_an_image_without_a_result_failed() -> None:
    statistics = RequestStatistics()
    with statistics.request(2) as timings:
        timings.append(RowTiming(1.0, 1.0, 1.0, time.monotonic()))
    with pytest.raises(ValueError, match="no room"), statistics.request(1):
        raise ValueError("no room")
    assert (statistics.success.count, statistics.fail.count, statistics.images) == (0, 2, 0)
    assert statistics.queue.count == 0
