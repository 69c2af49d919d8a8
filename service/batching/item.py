"""What the batcher's threads have in hand: images that wait, batches, and who runs them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import ServiceError

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
BatchFn = Callable[[Pixels], Array]


@dataclass(frozen=True, slots=True)
class Result:
    """One image's row of a batch's output, and what it cost."""

    output: Array
    queue_seconds: float
    inference_seconds: float
    batch_size: int


@dataclass(slots=True, eq=False)
class BatchItem:
    """One image, uint8 [H, W, 3], from its submission to its answer."""

    pixels: Pixels
    deadline: float
    self_test: bool
    submitted: float = field(default_factory=time.monotonic)
    future: Future[Result] = field(default_factory=Future)


class Worker:
    """A thread and the batch that it has in hand, since when."""

    def __init__(self, run: BatchFn, work: Callable[[Worker], None], name: str) -> None:
        self.run = run
        self.thread = threading.Thread(target=work, args=(self,), name=name, daemon=True)
        self.batch: list[BatchItem] = []
        self.stuck = False
        # Of the batch in hand: the size that it is run in, and when it was taken.
        self.size: int
        self.since: float

    def busy_seconds(self, now: float) -> float:
        """How long the batch in hand has taken so far; 0 without one."""
        return now - self.since if self.batch else 0.0


def pad_batch(batch: Sequence[BatchItem], size: int) -> Pixels:
    """The images as one batch, uint8 [size, H, W, 3], zeros after the last."""
    pixels = np.zeros((size, *batch[0].pixels.shape), np.uint8)
    for row, pending in zip(pixels, batch, strict=False):
        row[...] = pending.pixels
    return pixels


def fail(future: Future[Any], error: ServiceError) -> None:
    """Answers with an error, unless there is an answer already."""
    try:
        future.set_exception(error)
    except InvalidStateError:
        logger.debug("An image that was cancelled or answered needs no answer")
