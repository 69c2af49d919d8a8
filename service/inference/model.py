"""One loaded artifact: its engines, its batcher, its labels, and `predict`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model_builder.artifact.manifest import Artifact
from service.batching.admission import Admission, Reservation
from service.batching.batch_sizes import BatchSizes
from service.batching.batcher import Batcher, BatchObserver
from service.batching.item import BatchFn
from service.engines.base import Engine
from service.errors import DeadlineExceeded, InvalidParameter, Overloaded, ServiceError
from service.imaging.pool import DecoderPool
from service.inference.outputs import ClassScore, logits, softmax, top_k
from service.inference.self_test import Outcome, SelfTest

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

# A batch is stuck after so many times what it takes, and never sooner than that.
STUCK_TIMEOUT_BATCHES = 10
MIN_STUCK_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """One image's classes, most probable first, and where its time went.

    finished: when the device was done with it, on the clock of `time.monotonic`.
    """

    predictions: tuple[ClassScore, ...]
    decode_seconds: float
    queue_seconds: float
    inference_seconds: float
    finished: float


class ModelObserver(BatchObserver, Protocol):
    """Told how canaries ended, too."""

    def self_test_done(self, outcome: Outcome) -> None: ...


class Model:
    """Takes the bytes of an image and gives its classes."""

    def __init__(
        self,
        artifact: Artifact,
        engines: tuple[Engine, ...],
        decoder: DecoderPool,
        observer: ModelObserver,
        *,
        plan: BatchSizes,
        queue_limit: int,
        wait_limit_seconds: float,
    ) -> None:
        """engines: warm for every size of the plan."""
        self.artifact = artifact
        self.engines = engines
        self.plan = plan
        # Measured by who loads it: from nothing to warm, the first model's with its framework.
        self.load_seconds = 0.0
        self.memory_bytes = 0
        self._decoder = decoder
        self._observer = observer
        self._self_test: SelfTest | None = None
        self._batcher = Batcher(
            [self._run_on(engine) for engine in engines for _ in range(engine.concurrency)],
            plan=plan,
            queue_limit=queue_limit,
            observer=observer,
            name=f"batcher-{artifact.manifest.name}",
        )
        self._admission = Admission(
            self._batcher, queue_limit=queue_limit, wait_limit_seconds=wait_limit_seconds
        )

    @property
    def name(self) -> str:
        return self.artifact.manifest.name

    @property
    def alive(self) -> bool:
        return self._batcher.alive

    @property
    def queue_depth(self) -> int:
        return self._batcher.depth

    def start(self) -> None:
        """Learns what the canary's answer is, then starts the workers."""
        pixels = self.artifact.golden.pixels[0]
        smallest = np.repeat(pixels[None], self.plan.sizes[0], axis=0)
        (expected, *_) = self._run_on(self.engines[0])(smallest)
        self._self_test = SelfTest(
            self._batcher, pixels, expected, observe=self._observer.self_test_done
        )
        self._batcher.start()

    def close(self, timeout_seconds: float) -> bool:
        """Answers what is queued. Whether that was done in time."""
        return self._batcher.close(timeout_seconds)

    @property
    def wait_seconds(self) -> float:
        """What an image that arrives now is expected to wait for the device."""
        return self._admission.wait_seconds

    @property
    def images_per_second(self) -> float:
        """What it can answer."""
        return self._batcher.images_per_second

    def check_room(self, images: int, *, deadline: float) -> None:
        """Raises TooManyImages, QueueFull, Overloaded or DeadlineExceeded where there is none."""
        self._admission.check(images, deadline=deadline)

    def check_top_k(self, k: int) -> None:
        """Raises InvalidParameter unless that many classes can be given."""
        classes = len(self.artifact.labels)
        if not 1 <= k <= classes:
            raise InvalidParameter(f"top_k must be 1 to {classes} for {self.name}. Received: {k}")

    def check_health(self, self_test_interval_seconds: float) -> None:
        """Called again and again: gives up what is stuck, and sends canaries unless 0 seconds."""
        self._batcher.fail_stuck_batches(self.stuck_timeout_seconds)
        if self_test_interval_seconds and self._self_test is not None:
            self._self_test.poll(
                interval_seconds=self_test_interval_seconds,
                stuck_timeout_seconds=self.stuck_timeout_seconds,
            )

    @property
    def stuck_timeout_seconds(self) -> float:
        """A batch that takes longer is stuck."""
        largest = self.plan.largest
        return max(
            MIN_STUCK_TIMEOUT_SECONDS,
            STUCK_TIMEOUT_BATCHES * self._batcher.latency.batch_seconds(largest),
        )

    def worker_problems(self) -> list[str]:
        if not self.alive:
            return [f"a worker of {self.name} died"]
        return [f"a worker of {self.name} is stuck"] if self._batcher.stuck else []

    def self_test_problems(self) -> list[str]:
        problem = self._self_test.problem if self._self_test is not None else None
        return [] if problem is None else [f"the canary of {self.name}: {problem}"]

    async def predict(self, data: bytes, *, k: int, deadline: float) -> Prediction:
        """The k most probable classes of one image.

        deadline: on the clock of `time.monotonic`. When the caller is cancelled, so is the work.
        Raises InvalidImage, QueueFull, DeadlineExceeded, InferenceFailed and their kin.
        """
        (outcome,) = await self.predict_each([data], k=k, deadline=deadline)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    async def predict_each(
        self, images: Sequence[bytes], *, k: int, deadline: float
    ) -> list[Prediction | ServiceError]:
        """The answer to each image, or what is wrong with it: one that is bad fails alone.

        What the service can't do is raised, and the rest cancelled: it holds for the whole
        request, which may be tried again elsewhere.
        """
        self.check_top_k(k)
        places = self._admission.admit(len(images), deadline=deadline)

        async def one(image: bytes) -> Prediction | ServiceError:
            try:
                seconds = max(0.0, deadline - time.monotonic())
                return await asyncio.wait_for(self._predict(image, k, deadline, places), seconds)
            except asyncio.TimeoutError:
                raise DeadlineExceeded("The deadline passed before there was an answer.") from None
            except ServiceError as error:
                if error.status >= 500:
                    raise
                return error

        tasks = [asyncio.ensure_future(one(image)) for image in images]
        try:
            outcomes = await asyncio.gather(*tasks)
            places.record_completion()
            return outcomes
        except (DeadlineExceeded, Overloaded):
            places.record_completion()
            raise
        finally:
            for task in tasks:
                task.cancel()
            places.release()

    async def _predict(
        self, data: bytes, k: int, deadline: float, places: Reservation
    ) -> Prediction:
        preprocessing = self.artifact.manifest.preprocessing
        try:
            decoded = await self._decoder.decode(data, preprocessing, deadline=deadline)
        finally:
            # From here on the image is counted by the queue.
            places.release(1)
        future = self._batcher.submit(decoded.pixels, deadline=deadline)
        result = await asyncio.wrap_future(future)
        finished = time.monotonic()
        return Prediction(
            top_k(result.output, self.artifact.labels, k),
            decoded.seconds,
            result.queue_seconds,
            result.inference_seconds,
            finished,
        )

    def _run_on(self, engine: Engine) -> BatchFn:
        head = self.artifact.head

        def run(pixels: Pixels) -> Array:
            return softmax(logits(engine.run(pixels), head))

        return run
