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
from service.batching.admission import Admission, Places
from service.batching.batch_sizes import BatchPlan
from service.batching.batcher import Batcher, BatchObserver
from service.batching.item import Run
from service.engines.base import Engine
from service.errors import DeadlineExceeded, InvalidParameter, Overloaded, ServiceError
from service.imaging.pool import Decoder
from service.inference.outputs import Prediction, logits, softmax, top_k
from service.inference.self_test import Canary, Outcome

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

# A batch is stuck after so many times what it takes, and never sooner than that.
BATCHES_PATIENCE = 10
LEAST_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One picture's classes, most probable first, and where its time went.

    finished: when the device was done with it, on the clock of `time.monotonic`.
    """

    predictions: tuple[Prediction, ...]
    decode_seconds: float
    queue_seconds: float
    inference_seconds: float
    finished: float


class ModelObserver(BatchObserver, Protocol):
    """Told how canaries ended, too."""

    def canary_done(self, outcome: Outcome) -> None: ...


class Model:
    """Takes the bytes of a picture and gives its classes."""

    def __init__(
        self,
        artifact: Artifact,
        engines: tuple[Engine, ...],
        decoder: Decoder,
        observer: ModelObserver,
        *,
        plan: BatchPlan,
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
        self._canary: Canary | None = None
        self._batcher = Batcher(
            [self._run_on(engine) for engine in engines for _ in range(engine.at_once)],
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
        self._canary = Canary(self._batcher, pixels, expected, observe=self._observer.canary_done)
        self._batcher.start()

    def close(self, timeout_seconds: float) -> bool:
        """Answers what is queued. Whether that was done in time."""
        return self._batcher.close(timeout_seconds)

    @property
    def wait_seconds(self) -> float:
        """What a picture that arrives now is expected to wait for the device."""
        return self._admission.wait_seconds

    @property
    def pictures_per_second(self) -> float:
        """What it can answer."""
        return self._batcher.pictures_per_second

    def check_room(self, pictures: int, *, deadline: float) -> None:
        """Raises TooManyPictures, QueueFull, Overloaded or DeadlineExceeded where there is none."""
        self._admission.check(pictures, deadline=deadline)

    def check_top_k(self, k: int) -> None:
        """Raises InvalidParameter unless that many classes can be given."""
        classes = len(self.artifact.labels)
        if not 1 <= k <= classes:
            raise InvalidParameter(f"top_k must be 1 to {classes} for {self.name}. Received: {k}")

    def look_after(self, canary_interval_seconds: float) -> None:
        """Called again and again: gives up what is stuck, and sends canaries unless 0 seconds."""
        self._batcher.lose_stuck(self.patience_seconds)
        if canary_interval_seconds and self._canary is not None:
            self._canary.look(
                interval_seconds=canary_interval_seconds, patience_seconds=self.patience_seconds
            )

    @property
    def patience_seconds(self) -> float:
        """A batch that takes longer is stuck."""
        largest = self.plan.largest
        return max(
            LEAST_PATIENCE_SECONDS, BATCHES_PATIENCE * self._batcher.pace.batch_seconds(largest)
        )

    def worker_problems(self) -> list[str]:
        if not self.alive:
            return [f"a worker of {self.name} died"]
        return [f"a worker of {self.name} is stuck"] if self._batcher.stuck else []

    def canary_problems(self) -> list[str]:
        problem = self._canary.problem if self._canary is not None else None
        return [] if problem is None else [f"the canary of {self.name}: {problem}"]

    async def predict(self, data: bytes, *, k: int, deadline: float) -> Answer:
        """The k most probable classes of one picture.

        deadline: on the clock of `time.monotonic`. When the caller is cancelled, so is the work.
        Raises InvalidImage, QueueFull, DeadlineExceeded, InferenceFailed and their kin.
        """
        (outcome,) = await self.predict_each([data], k=k, deadline=deadline)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    async def predict_each(
        self, pictures: Sequence[bytes], *, k: int, deadline: float
    ) -> list[Answer | ServiceError]:
        """The answer to each picture, or what is wrong with it: one that is bad fails alone.

        What the service can't do is raised, and the rest cancelled: it holds for the whole
        request, which may be tried again elsewhere.
        """
        self.check_top_k(k)
        places = self._admission.admit(len(pictures), deadline=deadline)

        async def one(picture: bytes) -> Answer | ServiceError:
            try:
                seconds = max(0.0, deadline - time.monotonic())
                return await asyncio.wait_for(self._predict(picture, k, deadline, places), seconds)
            except asyncio.TimeoutError:
                raise DeadlineExceeded("The deadline passed before there was an answer.") from None
            except ServiceError as error:
                if error.status >= 500:
                    raise
                return error

        tasks = [asyncio.ensure_future(one(picture)) for picture in pictures]
        try:
            outcomes = await asyncio.gather(*tasks)
            places.done()
            return outcomes
        except (DeadlineExceeded, Overloaded):
            places.done()
            raise
        finally:
            for task in tasks:
                task.cancel()
            places.give_back()

    async def _predict(self, data: bytes, k: int, deadline: float, places: Places) -> Answer:
        preprocessing = self.artifact.manifest.preprocessing
        try:
            decoded = await self._decoder.decode(data, preprocessing, deadline=deadline)
        finally:
            # From here on the picture is counted by the queue.
            places.give_back(1)
        future = self._batcher.submit(decoded.pixels, deadline=deadline)
        result = await asyncio.wrap_future(future)
        finished = time.monotonic()
        return Answer(
            top_k(result.output, self.artifact.labels, k),
            decoded.seconds,
            result.queue_seconds,
            result.inference_seconds,
            finished,
        )

    def _run_on(self, engine: Engine) -> Run:
        head = self.artifact.head

        def run(pixels: Pixels) -> Array:
            return softmax(logits(engine.run(pixels), head))

        return run
