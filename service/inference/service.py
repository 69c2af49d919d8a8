"""The one way in: every protocol, the command line and evaluation send images through here."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import numpy as np

from service.batching.admission import Reservation
from service.batching.item import Pixels
from service.errors import (
    DeadlineExceeded,
    MemoryFull,
    NonFiniteOutput,
    Overloaded,
    QueueFull,
    ServiceError,
    TooLarge,
    TooManyPixels,
    Unprocessable,
    UnsupportedMedia,
)
from service.fairness.byte_budget import ByteBudget, HeldBytes
from service.fairness.paced import charge_images, give_way
from service.imaging.header import PixelBudget
from service.imaging.pool import DecoderPool
from service.inference.model import Model
from service.inference.outputs import check_outputs, compute_outputs, needs_feature_map
from service.inference.request import InferenceRequest, InferenceResult, RowResult, RowTiming

# Errors of one image; every other error concerns the whole request.
ROW_ERRORS = (TooLarge, UnsupportedMedia, Unprocessable, NonFiniteOutput)
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.02, 1.0
# A request's rows that begin in one turn of the loop; each takes it 0.2 ms or so.
ROWS_AT_ONCE = 4


class Models(Protocol):
    """Where a request's model is looked up."""

    def get(self, name: str | None = None, version: str | None = None) -> Model: ...


class InferenceService:
    """Resolves the model, reserves room, decodes, batches and computes the outputs.

    max_request_pixels: of all images of a request together; None for no limit.
    Knows no protocol: an adapter maps its errors, and takes the bytes of a request from `budget` as
    they arrive. For one event loop.
    """

    def __init__(
        self,
        models: Models,
        decoder: DecoderPool,
        budget: ByteBudget | None = None,
        *,
        max_request_pixels: int | None = None,
    ) -> None:
        """budget: by default without a limit."""
        self.budget = budget or ByteBudget()
        self._models = models
        self._decoder = decoder
        self._max_request_pixels = max_request_pixels

    def model(self, name: str | None = None, version: str | None = None) -> Model:
        """Raises ModelNotFound or ModelNotReady."""
        return self._models.get(name, version)

    def check_room(
        self,
        name: str | None = None,
        *,
        images: int = 1,
        deadline: float,
        client: str | None,
        version: str | None = None,
        body_bytes: int | None = 0,
    ) -> Model:
        """The model, if it has room for so many images of the client: before a body is read.

        client: None, where it is not known yet, refuses only what any client would be refused.
        body_bytes: that of `Admission.check`.
        Raises ModelNotFound, ModelNotReady, TooManyImages, QueueFull, Overloaded or
        DeadlineExceeded.
        """
        model = self._models.get(name, version)
        model.admission.check(images, deadline=deadline, client=client, body_bytes=body_bytes)
        return model

    async def infer(self, request: InferenceRequest) -> InferenceResult:
        """A result or an error for each row.

        What concerns the whole request is raised and its other rows are cancelled. Cancelling the
        caller cancels the work. Raises ModelNotFound, InvalidParameter, TooManyPixels, Unavailable,
        DeadlineExceeded, InferenceFailed and their subclasses.
        """
        charge_images(len(request.rows))
        model = self._models.get(request.model, request.version)
        check_outputs(request.outputs, request.map_classes, model.artifact.head)
        model.check_pixels(request.rows)
        pixels = self._count_pixels(request)
        with (
            self.budget.hold(request.client) as held,
            self._decoder.precedence.serving(request.client, len(request.rows)),
            model.statistics.request(len(request.rows)) as timings,
        ):
            reservation = await self._reserve(model, request, held)
            decoding = _Decoding(request, reservation, pixels)
            tasks = [
                asyncio.ensure_future(self._row(index, request, model, decoding))
                for index in range(len(request.rows))
            ]
            try:
                rows = await asyncio.gather(*tasks)
                reservation.record_completion()
                timings += [row.timing for row in rows if isinstance(row, RowResult)]
                return InferenceResult(model, tuple(rows))
            except (DeadlineExceeded, Overloaded):
                reservation.record_completion()
                raise
            finally:
                for task in tasks:
                    task.cancel()
                reservation.release()

    async def infer_one(self, request: InferenceRequest) -> RowResult:
        """The result of a request with one row. Raises its error, and what `infer` raises."""
        (only,) = (await self.infer(request)).rows
        if isinstance(only, ServiceError):
            raise only
        return only

    def _count_pixels(self, request: InferenceRequest) -> PixelBudget:
        """By the headers of the images. Raises TooManyPixels."""
        pixels = PixelBudget(self._max_request_pixels)
        for row in request.rows:
            if not isinstance(row, np.ndarray):
                pixels.add(self._decoder.expected_pixels(row))
        return pixels

    async def _reserve(
        self, model: Model, request: InferenceRequest, held: HeldBytes
    ) -> Reservation:
        size = model.artifact.manifest.preprocessing.crop_size
        encoded = sum(not isinstance(row, np.ndarray) for row in request.rows)
        count = encoded * size * size * 3
        if needs_feature_map(request.outputs):
            count += len(request.rows) * model.feature_map_bytes
        while True:
            try:
                held.take(count)
                return model.admission.admit(
                    len(request.rows),
                    deadline=request.deadline,
                    client=request.client,
                    image_bytes=request.image_bytes,
                )
            except (QueueFull, Overloaded, MemoryFull) as refusal:
                held.release()
                remaining = request.deadline - time.monotonic()
                if not request.wait_for_room or remaining <= 0:
                    raise
                wait = 0.0
                if isinstance(refusal, QueueFull):
                    wait = model.admission.client_wait_seconds(request.client)
                await asyncio.sleep(
                    min(remaining, max(MIN_RETRY_SECONDS, min(wait / 4, MAX_RETRY_SECONDS)))
                )

    async def _row(
        self, index: int, request: InferenceRequest, model: Model, decoding: _Decoding
    ) -> RowResult | ServiceError:
        for _ in range(index // ROWS_AT_ONCE):
            await asyncio.sleep(0)
        await give_way(max(0.0, request.deadline - time.monotonic()))
        seconds = max(0.0, request.deadline - time.monotonic())
        try:
            return await asyncio.wait_for(self._result(index, request, model, decoding), seconds)
        except asyncio.TimeoutError:
            raise DeadlineExceeded("The deadline passed before there was a result.") from None
        except TooManyPixels:
            raise
        except ROW_ERRORS as error:
            # Without the frames in which it was raised, which have the image.
            error.__traceback__ = error.__context__ = None
            return error

    async def _result(
        self, index: int, request: InferenceRequest, model: Model, decoding: _Decoding
    ) -> RowResult:
        try:
            pixels, decode_seconds, size = await self._pixels(index, request, model, decoding)
        finally:
            decoding.end_one()
        future = model.submit(
            pixels,
            outputs=request.outputs,
            deadline=request.deadline,
            priority=request.priority,
            client=request.client,
            request=request.key,
        )
        result = await asyncio.wrap_future(future)
        timing = RowTiming(
            decode_seconds, result.queue_seconds, result.inference_seconds, time.monotonic()
        )
        head, classes = model.artifact.head, request.map_classes
        outputs = compute_outputs(request.outputs, result.output, head, classes)
        assessment = model.assessor.assess(result.output.pooled, result.output.logits)
        return RowResult(outputs, timing, size, assessment)

    async def _pixels(
        self, index: int, request: InferenceRequest, model: Model, decoding: _Decoding
    ) -> tuple[Pixels, float, tuple[int, int] | None]:
        """The row decoded, the seconds of that, the image's size. No other frame has the row."""
        row = request.rows[index]
        if isinstance(row, np.ndarray):
            return row, 0.0, None
        decoded = await self._decoder.decode(
            row,
            model.artifact.manifest.preprocessing,
            deadline=request.deadline,
            client=request.client,
            request=request.key,
            priority=request.priority,
        )
        decoding.pixels.add(decoded.hidden_pixels)
        return decoded.pixels, decoded.seconds, decoded.size


class _Decoding:
    """The rows of a request that are still to be decoded."""

    def __init__(
        self, request: InferenceRequest, reservation: Reservation, pixels: PixelBudget
    ) -> None:
        self.pixels = pixels
        self._rows = len(request.rows)
        self._on_decoded = request.on_decoded
        self._reservation = reservation

    def end_one(self) -> None:
        """From here on the queue counts the image, or nobody does."""
        self._reservation.release(1)
        self._rows -= 1
        if not self._rows:
            self._on_decoded()
