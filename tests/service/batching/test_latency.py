"""The running estimate of a batch's seconds."""

from __future__ import annotations

import pytest

from service.batching.batch_sizes import BatchSizes
from service.batching.latency import LatencyEstimator


def test_what_waits_takes_full_batches_and_a_rest() -> None:
    latency = LatencyEstimator(BatchSizes({1: 0.1, 2: 0.15, 4: 0.3, 8: 0.4}))
    assert latency.seconds(0) == 0
    assert latency.seconds(16) == pytest.approx(0.8)
    assert latency.seconds(19) == pytest.approx(0.8 + 0.3)


def test_others_that_wait_fill_the_last_batch() -> None:
    latency = LatencyEstimator(BatchSizes({1: 0.1, 8: 0.4}))
    given = [(0, 9), (1, 1), (1, 3), (1, 200), (8, 200), (9, 200), (9, 9)]
    assert [latency.seconds_for(n, waiting=waiting, devices=1) for n, waiting in given] == [
        pytest.approx(seconds) for seconds in (0, 0.1, 0.4, 0.4, 0.4, 0.8, 0.5)
    ]
    # Four devices, and no batch is done in less than its time.
    assert latency.seconds_for(64, waiting=64, devices=4) == pytest.approx(0.8)
    assert latency.seconds_for(9, waiting=9, devices=4) == pytest.approx(0.4)


def test_it_follows_a_device_that_changes_its_speed() -> None:
    latency = LatencyEstimator(BatchSizes({1: 0.1, 2: 0.15}))
    latency.observe(1, 0.2)
    assert latency.batch_seconds(1) == pytest.approx(0.13)
    for _ in range(30):
        latency.observe(1, 0.2)
    assert latency.batch_seconds(1) == pytest.approx(0.2, rel=0.01)
    assert latency.batch_seconds(2) == 0.15
    latency.observe(1, 0.1)
    assert latency.batch_seconds(1) == pytest.approx(0.19, rel=0.01)


def test_it_remembers_the_slowest_of_late_for_a_while() -> None:
    latency = LatencyEstimator(BatchSizes({1: 0.1}))
    latency.observe(1, 0.3)
    latency.observe(1, 0.1)
    assert latency.slowest_seconds(1) == pytest.approx(0.29)
    for _ in range(100):
        latency.observe(1, 0.1)
    assert latency.slowest_seconds(1) == pytest.approx(0.1, rel=0.05)


def test_one_hiccup_changes_little() -> None:
    latency = LatencyEstimator(BatchSizes({1: 0.1}))
    latency.observe(1, 1000)
    assert latency.batch_seconds(1) == pytest.approx(0.19)


def test_what_has_the_whole_device_is_compared_with_batches_in_streams() -> None:
    latency = LatencyEstimator(BatchSizes({1: 0.1, 4: 0.2}))
    assert latency.whole_part(streams=2) == 1.0
    # 40 images a second in two streams.
    latency.observe_whole(1, 0.05)
    assert latency.whole_part(streams=2) == pytest.approx(0.5)
    # What disturbs one of them says nothing of the device.
    latency.observe_whole(1, 1000)
    latency.observe(4, 1000)
    assert latency.whole_part(streams=2) == pytest.approx(0.5)
    latency.observe_whole(2, 0.05)
    assert latency.whole_part(streams=2) == pytest.approx(1.0)
