"""The metrics of several workers as one text."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.observability.metrics import Metrics
from service.workers.exposition import SharedExposition, merge
from service.workers.places import take_place


def text_of(requests: int, seconds: float) -> bytes:
    registry = CollectorRegistry()
    Counter("requests", "Of clients.", ["path"], registry=registry).labels('/a"{} b').inc(requests)
    Histogram("wait_seconds", "In the queue.", registry=registry).observe(seconds)
    Counter("plain", "Without labels.", registry=registry).inc()
    return generate_latest(registry)


def test_each_family_stands_once_and_each_sample_has_its_worker() -> None:
    merged = merge({1: text_of(5, 0.5), 0: text_of(3, 2.0)}).decode()
    families = {family.name: family for family in text_string_to_metric_families(merged)}
    assert merged.count("# TYPE wait_seconds histogram") == 1
    found = {
        (sample.labels["worker"], sample.labels["path"]): sample.value
        for sample in families["requests"].samples
        if sample.name == "requests_total"
    }
    assert found == {("0", '/a"{} b'): 3, ("1", '/a"{} b'): 5}
    sums = {
        sample.labels["worker"]: sample.value
        for sample in families["wait_seconds"].samples
        if sample.name == "wait_seconds_sum"
    }
    assert sums == {"0": 2.0, "1": 0.5}
    assert all("worker" in s.labels for family in families.values() for s in family.samples)


def test_a_family_that_one_worker_alone_has_is_kept() -> None:
    registry = CollectorRegistry()
    Counter("late", "Appears with its first event.", registry=registry).inc(7)
    merged = merge({0: text_of(1, 1.0), 1: generate_latest(registry)}).decode()
    assert 'late_total{worker="1"} 7.0' in merged
    assert merged.count("# HELP late_total") == 1


def test_a_worker_collects_the_others_and_leaves_out_one_that_is_silent(tmp_path: Path) -> None:
    async def scrape() -> bytes:
        places = [take_place(tmp_path, 3) for _ in range(3)]
        mine, other = (SharedExposition(place, 3) for place in places[:2])
        measured = [Metrics() for _ in places]
        measured[1].rejections.labels("queue_full").inc(4)
        # A worker that was killed leaves its socket's file.
        places[2].socket.touch()
        async with mine.serving(measured[0]), other.serving(measured[1]):
            found = await mine.text(measured[0])
        for place in places:
            place.release()
        return found

    text = asyncio.run(scrape()).decode()
    assert 'resnet_rejections_total{worker="1",reason="queue_full"} 4.0' in text
    assert 'worker="0"' in text
    assert 'worker="2"' not in text


def test_the_port_is_ready_while_another_worker_is(tmp_path: Path) -> None:
    async def ask() -> tuple[bool, bool]:
        places = [take_place(tmp_path, 2) for _ in range(2)]
        mine, other = (SharedExposition(place, 2) for place in places)
        measured = [Metrics() for _ in places]
        async with mine.serving(measured[0]), other.serving(measured[1]):
            measured[0].ready.set(1)
            before = await mine.ready_elsewhere()
            measured[1].ready.set(1)
            after = await mine.ready_elsewhere()
        for place in places:
            place.release()
        return before, after

    assert asyncio.run(ask()) == (False, True)
