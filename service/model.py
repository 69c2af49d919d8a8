"""One loaded artifact: its engines, its batcher, its labels, and `predict`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.artifact import Artifact
from service.batch_plan import BatchPlan
from service.batcher import Batcher, BatchObserver, Run
from service.decoder import Decoder
from service.engines import Engine
from service.errors import DeadlineExceeded, InvalidParameter, QueueFull, ServiceError
from service.head import Prediction, logits, softmax, top_k

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Answer:
    """One picture's classes, most probable first, and where its time went."""

    predictions: tuple[Prediction, ...]
    decode_seconds: float
    queue_seconds: float
    inference_seconds: float


class Model:
    """Takes the bytes of a picture and gives its classes."""

    def __init__(
        self,
        artifact: Artifact,
        engines: tuple[Engine, ...],
        decoder: Decoder,
        observer: BatchObserver,
        *,
        plan: BatchPlan,
        queue_limit: int,
    ) -> None:
        """engines: warm for every size of the plan."""
        self.artifact = artifact
        self.engines = engines
        self.plan = plan
        # Measured by who loads it: from nothing to warm, the first model's with its framework.
        self.load_seconds = 0.0
        self.memory_bytes = 0
        self._decoder = decoder
        self._batcher = Batcher(
            [self._run_on(engine) for engine in engines],
            plan=plan,
            queue_limit=queue_limit,
            observer=observer,
            name=f"batcher-{artifact.manifest.name}",
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
        self._batcher.start()

    def close(self, timeout_seconds: float) -> bool:
        """Answers what is queued. Whether that was done in time."""
        return self._batcher.close(timeout_seconds)

    def check_top_k(self, k: int) -> None:
        """Raises InvalidParameter unless that many classes can be given."""
        classes = len(self.artifact.labels)
        if not 1 <= k <= classes:
            raise InvalidParameter(f"top_k must be 1 to {classes} for {self.name}. Received: {k}")

    async def predict(self, data: bytes, *, k: int, deadline: float) -> Answer:
        """The k most probable classes of one picture.

        deadline: on the clock of `time.monotonic`. When the caller is cancelled, so is the work.
        Raises InvalidImage, QueueFull, DeadlineExceeded, InferenceFailed and their kin.
        """
        self.check_top_k(k)
        if self._batcher.full:
            raise QueueFull("The queue is full: the picture was not decoded.")
        try:
            return await asyncio.wait_for(
                self._predict(data, k, deadline), max(0.0, deadline - time.monotonic())
            )
        except asyncio.TimeoutError:
            raise DeadlineExceeded("The deadline passed before there was an answer.") from None

    async def predict_each(
        self, pictures: Sequence[bytes], *, k: int, deadline: float
    ) -> list[Answer | ServiceError]:
        """The answer to each picture, or what is wrong with it: one that is bad fails alone.

        What the service can't do is raised, and the rest cancelled: it holds for the whole
        request, which may be tried again elsewhere.
        """

        async def one(picture: bytes) -> Answer | ServiceError:
            try:
                return await self.predict(picture, k=k, deadline=deadline)
            except ServiceError as error:
                if error.status >= 500:
                    raise
                return error

        tasks = [asyncio.ensure_future(one(picture)) for picture in pictures]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _predict(self, data: bytes, k: int, deadline: float) -> Answer:
        preprocessing = self.artifact.manifest.preprocessing
        decoded = await self._decoder.decode(data, preprocessing, deadline=deadline)
        future = self._batcher.submit(decoded.pixels, deadline=deadline)
        result = await asyncio.wrap_future(future)
        return Answer(
            top_k(result.output, self.artifact.labels, k),
            decoded.seconds,
            result.queue_seconds,
            result.inference_seconds,
        )

    def _run_on(self, engine: Engine) -> Run:
        head = self.artifact.head

        def run(pixels: Pixels) -> Array:
            return softmax(logits(engine.run(pixels), head))

        return run
