"""The running estimate of a batch's seconds."""

from __future__ import annotations

import pytest

from service.batching.batch_sizes import BatchPlan
from service.batching.latency import Pace


def test_what_waits_takes_full_batches_and_a_rest() -> None:
    pace = Pace(BatchPlan({1: 0.1, 2: 0.15, 4: 0.3, 8: 0.4}))
    assert pace.seconds(0) == 0
    assert pace.seconds(16) == pytest.approx(0.8)
    assert pace.seconds(19) == pytest.approx(0.8 + 0.3)


def test_it_follows_a_device_that_changes_its_speed() -> None:
    pace = Pace(BatchPlan({1: 0.1, 2: 0.15}))
    pace.observe(1, 0.2)
    assert pace.batch_seconds(1) == pytest.approx(0.13)
    for _ in range(30):
        pace.observe(1, 0.2)
    assert pace.batch_seconds(1) == pytest.approx(0.2, rel=0.01)
    assert pace.batch_seconds(2) == 0.15
    pace.observe(1, 0.1)
    assert pace.batch_seconds(1) == pytest.approx(0.19, rel=0.01)


def test_it_remembers_the_slowest_of_late_for_a_while() -> None:
    pace = Pace(BatchPlan({1: 0.1}))
    pace.observe(1, 0.3)
    pace.observe(1, 0.1)
    assert pace.slowest_seconds(1) == pytest.approx(0.29)
    for _ in range(100):
        pace.observe(1, 0.1)
    assert pace.slowest_seconds(1) == pytest.approx(0.1, rel=0.05)


def test_one_hiccup_changes_little() -> None:
    pace = Pace(BatchPlan({1: 0.1}))
    pace.observe(1, 1000)
    assert pace.batch_seconds(1) == pytest.approx(0.19)
