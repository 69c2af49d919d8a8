"""InferenceService: several images at once, several devices, outputs, room."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest

from model_builder.artifact.head import softmax
from service.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidParameter,
    MemoryFull,
    Overloaded,
    QueueFull,
    UnsupportedMedia,
)
from service.fairness.byte_budget import ByteBudget
from service.inference.model import Model
from service.inference.outputs import OUTPUTS, top_k
from service.inference.request import InferenceRequest, InferenceResult, RowResult
from service.inference.service import ROWS_AT_ONCE, InferenceService
from tests.service.conftest import MODEL_NAME, MakeModel
from tests.service.fakes import (
    LABELS,
    WAIT_SECONDS,
    Array,
    FakeEngine,
    Pixels,
    Recorder,
    eventually,
)
from tests.service.images import COLORS, plain

T = TypeVar("T")
ServiceOf = Callable[[Model], InferenceService]

RED = plain("red")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, WAIT_SECONDS))


def later() -> float:
    return time.monotonic() + WAIT_SECONDS


async def infer(service: InferenceService, *rows: bytes | Pixels, **given: Any) -> InferenceResult:
    return await service.infer(InferenceRequest(rows, **{"deadline": later(), **given}))


def best(rows: Sequence[object]) -> list[str]:
    """The most probable class of each row, or the name of its error."""
    return [
        LABELS[int(row.outputs["probabilities"].argmax())].name
        if isinstance(row, RowResult)
        else type(row).__name__
        for row in rows
    ]


def test_a_result(make_model: MakeModel, service_of: ServiceOf) -> None:
    model = make_model(MODEL_NAME)
    (row,) = run(infer(service_of(model), RED)).rows
    assert isinstance(row, RowResult)
    first, _ = top_k(row.outputs["probabilities"], LABELS, 2)
    assert first.label == "red"
    timing = row.timing
    assert min(timing.decode_seconds, timing.queue_seconds, timing.inference_seconds) >= 0


@pytest.mark.parametrize("k", [0, -1, 6])
def test_as_many_classes_as_there_are(make_model: MakeModel, k: int) -> None:
    model = make_model(MODEL_NAME)
    assert (model.top_k(None), model.top_k(5), model.top_k(1)) == (5, 5, 1)
    with pytest.raises(InvalidParameter) as refusal:
        model.top_k(k)
    assert str(refusal.value) == f"top_k must be 1 to 5 for {MODEL_NAME}. Received: {k}"


def test_each_image_has_its_result_or_its_error_in_order(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    images = [plain(color) for color in COLORS]
    images[2:2] = [RED[:60]]
    rows = run(infer(service_of(make_model(MODEL_NAME)), *images)).rows
    assert best(rows) == ["red", "green", "InvalidImage", "blue", "white", "black"]


def test_pixels_give_what_the_encoded_image_gives(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    service = service_of(make_model(MODEL_NAME))
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[..., 0] = 255
    encoded, raw = run(infer(service, RED, pixels, outputs=("logits",))).rows
    assert isinstance(encoded, RowResult)
    assert isinstance(raw, RowResult)
    assert raw.outputs["logits"].tolist() == encoded.outputs["logits"].tolist()


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((31, 32, 3), np.uint8), np.zeros((32, 32), np.uint8), np.zeros((32, 32, 3))],
)
def test_pixels_of_another_shape_or_type_are_refused(
    make_model: MakeModel, service_of: ServiceOf, pixels: Pixels
) -> None:
    with pytest.raises(InvalidParameter, match=r"takes pixels uint8 \[32, 32, 3\]. Received: "):
        run(infer(service_of(make_model(MODEL_NAME)), pixels))


def test_every_output_is_what_its_name_says(make_model: MakeModel, service_of: ServiceOf) -> None:
    model = make_model(MODEL_NAME)
    (row,) = run(infer(service_of(model), RED, outputs=tuple(OUTPUTS))).rows
    assert isinstance(row, RowResult)
    embedding, logits = row.outputs["embedding"], row.outputs["logits"]
    head = model.artifact.head
    assert embedding[:4].tolist() == [1, 0, 0, 0]
    assert logits == pytest.approx(embedding @ head.kernel + head.bias)
    assert row.outputs["probabilities"] == pytest.approx(softmax(logits))
    activation = row.outputs["class_activation_map"]
    # Its mean and the bias are the class's logit: pooling and the classifier are both linear.
    assert activation.shape == (1, 2, 2)
    assert activation.mean() + head.bias[0] == pytest.approx(logits[0])


def test_an_unknown_output_is_refused_by_name(make_model: MakeModel, service_of: ServiceOf) -> None:
    with pytest.raises(InvalidParameter, match=r"^Outputs are probabilities, .*Received: 'label'$"):
        run(infer(service_of(make_model(MODEL_NAME)), RED, outputs=("label",)))


class Infinite(FakeEngine):
    """Green images get a feature that is infinite."""

    def run(self, pixels: Pixels) -> Array:
        features = super().run(pixels)
        features[features[..., 1].max(axis=(1, 2)) == 1, 0, 0, 0] = np.inf
        return features


def test_an_output_that_is_not_finite_fails_its_image_alone_and_is_counted(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    observer = Recorder()
    model = make_model(MODEL_NAME, Infinite(), observer=observer)
    rows = run(infer(service_of(model), RED, plain("green"))).rows
    assert best(rows) == ["red", "NonFiniteOutput"]
    assert (sum(observer.done), sum(observer.failed)) == (1, 1)


def test_an_error_of_the_service_is_raised_for_all_rows(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    engine = FakeEngine()
    service = service_of(make_model(MODEL_NAME, engine))
    engine.failure = RuntimeError("broken")
    with pytest.raises(InferenceFailed):
        run(infer(service, RED, RED[:60]))


def test_a_caller_that_waits_for_room_gets_every_result(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    """The queue has room for 9 of one client; one that does not wait is refused meanwhile."""
    engine = FakeEngine()
    model = make_model(MODEL_NAME, engine)
    service = service_of(model)

    async def work() -> list[InferenceResult]:
        waiting = [
            asyncio.ensure_future(infer(service, RED, wait_for_room=True)) for _ in range(40)
        ]
        await asyncio.to_thread(eventually, lambda: model.queue_depth >= 9)
        with pytest.raises(QueueFull):
            await infer(service, *[RED] * 9)
        engine.release()
        return await asyncio.gather(*waiting)

    with engine.blocked():
        results = run(work())
    assert [best(result.rows) for result in results] == [["red"]] * 40


def test_room_is_waited_for_no_longer_than_the_deadline(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    engine = FakeEngine()
    model = make_model(MODEL_NAME, engine)
    service = service_of(model)

    async def work() -> None:
        waiting = asyncio.ensure_future(infer(service, *[RED] * 9))
        await asyncio.to_thread(engine.wait_until_busy)
        with pytest.raises((DeadlineExceeded, Overloaded, QueueFull)):
            await infer(service, *[RED] * 9, wait_for_room=True, deadline=time.monotonic() + 0.05)
        engine.release()
        await waiting

    with engine.blocked():
        run(work())


def test_images_of_a_request_begin_in_several_turns_of_the_loop(
    make_model: MakeModel, service_of: ServiceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(MODEL_NAME, FakeEngine())
    begun_in_turn = [0]
    submit = model.submit

    def counted(*args: Any, **given: Any) -> Any:
        begun_in_turn[-1] += 1
        return submit(*args, **given)

    async def work() -> InferenceResult:
        loop = asyncio.get_running_loop()

        def next_turn() -> None:
            begun_in_turn.append(0)
            loop.call_soon(next_turn)

        next_turn()
        rows = [np.zeros((model.artifact.manifest.preprocessing.crop_size,) * 2 + (3,), np.uint8)]
        return await infer(service_of(model), *(rows * 2 * ROWS_AT_ONCE))

    monkeypatch.setattr(model, "submit", counted)
    assert len(run(work()).rows) == sum(begun_in_turn) == 2 * ROWS_AT_ONCE
    assert max(begun_in_turn) <= ROWS_AT_ONCE


def test_past_its_deadline_nothing_is_decoded(make_model: MakeModel, service_of: ServiceOf) -> None:
    engine = FakeEngine()
    model = make_model(MODEL_NAME, engine)
    with pytest.raises(DeadlineExceeded):
        run(infer(service_of(model), RED, deadline=time.monotonic() - 1))
    assert engine.batches == [1]


def test_when_the_caller_is_cancelled_so_is_the_image(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    engine, observer = FakeEngine(), Recorder()
    model = make_model(MODEL_NAME, engine, observer=observer)
    engine.batches.clear()

    async def work() -> InferenceResult:
        first = asyncio.ensure_future(infer(service_of(model), RED))
        await asyncio.to_thread(engine.wait_until_busy)
        second = asyncio.ensure_future(infer(service_of(model), RED, RED))
        await asyncio.to_thread(eventually, lambda: model.queue_depth == 2)
        second.cancel()
        (outcome,) = await asyncio.gather(second, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError)
        engine.release()
        return await first

    with engine.blocked():
        assert best(run(work()).rows) == ["red"]
    assert model.close(WAIT_SECONDS)
    assert engine.batches == [1]
    assert observer.drops == {"cancelled": 2}


def test_a_full_queue_refuses_before_it_decodes(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    engine = FakeEngine()
    model = make_model(MODEL_NAME, engine)

    async def work() -> None:
        first = asyncio.ensure_future(infer(service_of(model), RED))
        await asyncio.to_thread(engine.wait_until_busy)
        waiting = asyncio.ensure_future(infer(service_of(model), *[RED] * 9))
        await asyncio.to_thread(eventually, lambda: model.queue_depth == 9)
        with pytest.raises(QueueFull, match="Nothing was decoded"):
            await infer(service_of(model), b"no image at all")
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


def test_every_device_takes_its_share(make_model: MakeModel, service_of: ServiceOf) -> None:
    engines = [MeetingEngine(f"cpu:{index}", (1,)) for index in range(2)]
    model = make_model(MODEL_NAME, *engines)
    barrier = threading.Barrier(2)
    for engine in engines:
        engine.batches.clear()
        engine.barrier = barrier
    images = [plain(color) for color in ("red", "green", "blue", "white")]
    assert best(run(infer(service_of(model), *images)).rows) == ["red", "green", "blue", "white"]
    assert [engine.batches for engine in engines] == [[1, 1], [1, 1]]


def test_a_device_is_given_its_next_batch_while_it_runs_one(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    engine = MeetingEngine("gpu:0", (1,))
    engine.concurrency = 2
    model = make_model(MODEL_NAME, engine)
    engine.batches.clear()
    engine.barrier = threading.Barrier(2)
    images = [plain(color) for color in ("red", "green")]
    assert best(run(infer(service_of(model), *images)).rows) == ["red", "green"]
    assert engine.batches == [1, 1]


def test_the_engine_is_given_the_cropped_pixels(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    seen: list[Pixels] = []

    class Watching(FakeEngine):
        def run(self, pixels: Pixels) -> Array:
            seen.append(pixels)
            return super().run(pixels)

    model = make_model(MODEL_NAME, Watching())
    run(infer(service_of(model), plain("blue", (90, 50))))
    _, pixels = seen
    assert pixels.shape == (1, 32, 32, 3)
    assert pixels.dtype == np.uint8
    assert np.unique(pixels.reshape(-1, 3), axis=0).tolist() == [[0, 0, 255]]


PIXEL_BYTES = 32 * 32 * 3


def test_decoded_images_are_held_until_the_end(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    engine = FakeEngine()
    service = service_of(make_model(MODEL_NAME, engine))
    released: list[int] = []

    async def work() -> None:
        with engine.blocked():
            rows = [RED, b"no image", RED]
            request = InferenceRequest(
                rows, later(), client="a", on_decoded=lambda: released.append(len(released))
            )
            task = asyncio.ensure_future(service.infer(request))
            while not released:
                await asyncio.sleep(0.001)
            assert service.budget.used_bytes == 3 * PIXEL_BYTES
            assert not task.done()
        assert best((await task).rows) == ["red", "UnsupportedMedia", "red"]

    run(work())
    assert released == [0]
    assert service.budget.used_bytes == 0


def test_pixels_were_counted_by_who_took_them(make_model: MakeModel, service_of: ServiceOf) -> None:
    service = service_of(make_model(MODEL_NAME))
    service.budget = ByteBudget(1)
    pixels = np.zeros((32, 32, 3), np.uint8)
    assert best(run(infer(service, pixels)).rows) == ["black"]
    with pytest.raises(MemoryFull):
        run(infer(service, RED))
    assert service.budget.used_bytes == 0


def test_a_request_may_wait_for_room_for_its_bytes(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    service = service_of(make_model(MODEL_NAME))
    service.budget = ByteBudget(2 * PIXEL_BYTES)

    async def work() -> InferenceResult:
        with service.budget.hold("a") as held:
            held.take(PIXEL_BYTES + 1)
            task = asyncio.ensure_future(infer(service, RED, client="a", wait_for_room=True))
            await asyncio.sleep(0.05)
            assert not task.done()
        return await task

    assert best(run(work()).rows) == ["red"]


def test_the_error_of_one_image_does_not_keep_the_bytes(
    make_model: MakeModel, service_of: ServiceOf
) -> None:
    """It is held until the others have their results."""
    service = service_of(make_model(MODEL_NAME))
    _, error = run(infer(service, RED, b"no image")).rows
    assert isinstance(error, UnsupportedMedia)
    assert error.__traceback__ is None
    assert error.__context__ is None
