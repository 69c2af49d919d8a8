"""One loaded model: warm-up, several images at once, several devices."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import numpy as np
import pytest

from service.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidImage,
    InvalidParameter,
    QueueFull,
)
from service.inference.model import Prediction
from tests.service.conftest import MODEL_NAME, MakeModel
from tests.service.fakes import WAIT_SECONDS, Array, FakeEngine, Pixels, Recorder, eventually
from tests.service.images import COLORS, plain

T = TypeVar("T")

RED = plain("red")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, WAIT_SECONDS))


def later() -> float:
    return time.monotonic() + WAIT_SECONDS


def test_an_answer(make_model: MakeModel) -> None:
    answer = run(make_model(MODEL_NAME).predict(RED, k=2, deadline=later()))
    first, _ = answer.predictions
    assert first.label == "red"
    assert min(answer.decode_seconds, answer.queue_seconds, answer.inference_seconds) >= 0


@pytest.mark.parametrize("k", [0, -1, 6])
def test_as_many_classes_as_there_are(make_model: MakeModel, k: int) -> None:
    model = make_model(MODEL_NAME)
    model.check_top_k(5)
    with pytest.raises(InvalidParameter) as refusal:
        run(model.predict(RED, k=k, deadline=later()))
    assert str(refusal.value) == f"top_k must be 1 to 5 for {MODEL_NAME}. Received: {k}"


def test_each_image_has_its_answer_or_its_error_in_order(make_model: MakeModel) -> None:
    images = [plain(color) for color in COLORS]
    images[2:2] = [RED[:60]]
    outcomes = run(make_model(MODEL_NAME).predict_each(images, k=1, deadline=later()))
    labels = [
        outcome.predictions[0].label if isinstance(outcome, Prediction) else type(outcome)
        for outcome in outcomes
    ]
    assert labels == ["red", "green", InvalidImage, "blue", "white", "black"]


def test_what_the_service_can_not_do_is_raised_for_all(make_model: MakeModel) -> None:
    engine = FakeEngine()
    model = make_model(MODEL_NAME, engine)
    engine.failure = RuntimeError("broken")
    with pytest.raises(InferenceFailed):
        run(model.predict_each([RED, RED[:60]], k=1, deadline=later()))


def test_past_its_deadline_nothing_is_decoded(make_model: MakeModel) -> None:
    engine = FakeEngine()
    model = make_model(MODEL_NAME, engine)
    with pytest.raises(DeadlineExceeded):
        run(model.predict(RED, k=1, deadline=time.monotonic() - 1))
    assert engine.batches == [1]


def test_when_the_caller_is_cancelled_so_is_the_image(make_model: MakeModel) -> None:
    engine, observer = FakeEngine(), Recorder()
    model = make_model(MODEL_NAME, engine, observer=observer)
    engine.batches.clear()

    async def work() -> Prediction:
        first = asyncio.ensure_future(model.predict(RED, k=1, deadline=later()))
        await asyncio.to_thread(engine.wait_until_busy)
        second = asyncio.ensure_future(model.predict_each([RED, RED], k=1, deadline=later()))
        await asyncio.to_thread(eventually, lambda: model.queue_depth == 2)
        second.cancel()
        (outcome,) = await asyncio.gather(second, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError)
        engine.release()
        return await first

    with engine.blocked():
        assert run(work()).predictions[0].label == "red"
    assert model.close(WAIT_SECONDS)
    assert engine.batches == [1]
    assert observer.drops == {"cancelled": 2}


def test_a_full_queue_refuses_before_it_decodes(make_model: MakeModel) -> None:
    engine = FakeEngine()
    model = make_model(MODEL_NAME, engine)

    async def work() -> None:
        first = asyncio.ensure_future(model.predict(RED, k=1, deadline=later()))
        await asyncio.to_thread(engine.wait_until_busy)
        waiting = asyncio.ensure_future(model.predict_each([RED] * 10, k=1, deadline=later()))
        await asyncio.to_thread(eventually, lambda: model.queue_depth == 10)
        with pytest.raises(QueueFull, match="nothing was decoded"):
            await model.predict(b"no image at all", k=1, deadline=later())
        engine.release()
        await asyncio.gather(first, waiting)

    with engine.blocked():
        run(work())


class MeetingEngine(FakeEngine):
    """After warm-up, a batch waits here until another device has one too."""

    barrier: threading.Barrier | None = None

    def run(self, pixels: Pixels) -> Array:
        if self.barrier is not None:
            self.barrier.wait(WAIT_SECONDS)
        return super().run(pixels)


def test_every_device_takes_its_share(make_model: MakeModel) -> None:
    engines = [MeetingEngine(f"cpu:{index}", (1,)) for index in range(2)]
    model = make_model(MODEL_NAME, *engines)
    barrier = threading.Barrier(2)
    for engine in engines:
        engine.batches.clear()
        engine.barrier = barrier
    images = [plain(color) for color in ("red", "green", "blue", "white")]
    outcomes = run(model.predict_each(images, k=1, deadline=later()))
    labels = [one.predictions[0].label for one in outcomes if isinstance(one, Prediction)]
    assert labels == ["red", "green", "blue", "white"]
    assert [engine.batches for engine in engines] == [[1, 1], [1, 1]]


def test_a_device_is_given_its_next_batch_while_it_runs_one(make_model: MakeModel) -> None:
    engine = MeetingEngine("gpu:0", (1,))
    engine.concurrency = 2
    model = make_model(MODEL_NAME, engine)
    engine.batches.clear()
    engine.barrier = threading.Barrier(2)
    images = [plain(color) for color in ("red", "green")]
    outcomes = run(model.predict_each(images, k=1, deadline=later()))
    labels = [one.predictions[0].label for one in outcomes if isinstance(one, Prediction)]
    assert labels == ["red", "green"]
    assert engine.batches == [1, 1]


def test_the_engine_is_given_the_cropped_pixels(make_model: MakeModel) -> None:
    seen: list[Pixels] = []

    class Watching(FakeEngine):
        def run(self, pixels: Pixels) -> Array:
            seen.append(pixels)
            return super().run(pixels)

    model = make_model(MODEL_NAME, Watching())
    run(model.predict(plain("blue", (90, 50)), k=1, deadline=later()))
    _, pixels = seen
    assert pixels.shape == (1, 32, 32, 3)
    assert pixels.dtype == np.uint8
    assert np.unique(pixels.reshape(-1, 3), axis=0).tolist() == [[0, 0, 255]]
