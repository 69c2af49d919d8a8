"""What a Runtime makes of the settings."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.artifact.manifest import Artifact
from model_builder.errors import InvalidArtifact
from service.inference import runtime
from service.inference.model import Model
from service.inference.runtime import Runtime
from service.settings import Settings
from tests.service.fakes import (
    WAIT_SECONDS,
    FakeEngine,
    Recorder,
    batch_sizes_of,
    eventually,
)

MEGABYTE = 2**20


@pytest.mark.parametrize(
    ("memory_limit", "given", "expected"),
    [
        (2048 * MEGABYTE, {}, 256 * MEGABYTE),
        (2048 * MEGABYTE, {"max_pending_bytes": 100 * MEGABYTE}, 100 * MEGABYTE),
        # Room for two bodies of the largest size, whatever is set.
        (64 * MEGABYTE, {}, 40 * MEGABYTE),
        (64 * MEGABYTE, {"max_body_bytes": MEGABYTE}, 8 * MEGABYTE),
        (2048 * MEGABYTE, {"max_pending_bytes": 1, "max_body_bytes": MEGABYTE}, 2 * MEGABYTE),
    ],
)
def test_the_byte_budget(
    monkeypatch: pytest.MonkeyPatch, memory_limit: int, given: dict[str, Any], expected: int
) -> None:
    monkeypatch.setattr(runtime, "memory_limit", lambda: memory_limit)
    made = Runtime(Settings.of(**given), load=lambda _: pytest.fail("nothing is to be loaded"))
    assert made.service.budget.limit_bytes == expected
    registry = made.metrics.registry
    assert registry.get_sample_value("resnet_pending_bytes_limit") == expected
    assert registry.get_sample_value("resnet_pending_bytes") == 0


def test_threads_wait_a_short_time_for_the_interpreters_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_seconds: list[float] = []
    monkeypatch.setattr(sys, "setswitchinterval", set_seconds.append)
    made = Runtime(Settings.of(), names=(), load=lambda _: pytest.fail("nothing is to be loaded"))
    made.start()
    made.stop()
    assert set_seconds == [runtime.SWITCH_SECONDS]


class Undivided(FakeEngine):
    """Not divided until `go` is set; `begun` once that is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.concurrency, self.alone, self.divided = 2, self.run, False
        self.begun, self.go = threading.Event(), threading.Event()

    def divide(self) -> None:
        self.begun.set()
        assert self.go.wait(WAIT_SECONDS)
        super().divide()


@contextmanager
def running(engine: FakeEngine, artifact: Artifact, **given: Any) -> Iterator[Runtime]:
    """Until it is ready."""
    model = Model(
        artifact,
        (engine,),
        Recorder(),
        batch_sizes=batch_sizes_of(engine),
        queue_limit=8,
        wait_limit_seconds=WAIT_SECONDS,
    )

    def load(_: str) -> Model:
        model.start()
        return model

    ready = threading.Event()
    made = Runtime(Settings.of(), names=(model.name,), load=load, on_ready=ready.set, **given)
    made.start()
    try:
        assert ready.wait(WAIT_SECONDS)
        yield made
    finally:
        made.stop()


def answer(runtime: Runtime) -> npt.NDArray[np.float32]:
    pixels = np.full((32, 32, 3), 200, np.uint8)
    future = runtime.service.model().submit(pixels, outputs=("logits",), deadline=float("inf"))
    return future.result(WAIT_SECONDS).output.logits


def test_a_model_is_ready_and_serves_before_it_is_divided(artifact: Artifact) -> None:
    engine = Undivided()
    with running(engine, artifact) as runtime:
        assert engine.begun.wait(WAIT_SECONDS)
        model = runtime.service.model()
        assert runtime.health().ready
        assert model.batches_at_once == 1
        before = answer(runtime)
        engine.go.set()
        eventually(lambda: model.batches_at_once == 2)
        np.testing.assert_array_equal(answer(runtime), before)


def test_a_model_that_can_t_be_divided_is_ready_and_serves(
    artifact: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Undivided):
        def divide(self) -> None:
            raise InvalidArtifact("no memory for the streams")

    with running(Failing(), artifact) as runtime:
        eventually(lambda: "goes on with one batch at a time" in caplog.text)
        assert runtime.health().ready
        assert runtime.service.model().batches_at_once == 1
        assert len(answer(runtime)) == len(artifact.labels)


def test_it_stops_in_the_middle_of_a_division(artifact: Artifact) -> None:
    engine = Undivided()
    with running(engine, artifact) as runtime:
        assert engine.begun.wait(WAIT_SECONDS)
        runtime.drain()
        stopping = threading.Thread(target=runtime.stop)
        stopping.start()
        # It waits for the division: native code must not return into an interpreter that ends.
        eventually(lambda: runtime.stopping)
        engine.go.set()
        stopping.join(WAIT_SECONDS)
        assert not stopping.is_alive()
    assert engine.divided


def test_for_a_few_images_it_is_not_divided(artifact: Artifact) -> None:
    engine = Undivided()
    with running(engine, artifact, divide=False) as runtime:
        answer(runtime)
    assert not engine.begun.is_set()
