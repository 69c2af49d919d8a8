"""The images of a batch, from submission to result, and the worker that runs them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from service.errors import ServiceError

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

RowT = TypeVar("RowT")
RowT_co = TypeVar("RowT_co", covariant=True)


class Rows(Protocol[RowT_co]):
    """A batch's output, one row an image. Indexing may raise a ServiceError of that row alone."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> RowT_co: ...


# Runs one batch: pixels uint8 [N, H, W, 3], and the names of the outputs that its rows need.
BatchFn = Callable[[Pixels, frozenset[str]], Rows[RowT]]


@dataclass(frozen=True, slots=True)
class Result(Generic[RowT]):
    """One image's row of a batch's output, and what it cost."""

    output: RowT
    queue_seconds: float
    inference_seconds: float
    batch_size: int


@dataclass(slots=True, eq=False)
class BatchItem(Generic[RowT]):
    """One image, uint8 [H, W, 3], from its submission to its result.

    outputs: names of what its row is needed for. priority: that of its request; a higher one goes
    first among those of its client. worker: the index of the only worker that may run it; None for
    any. client: who asks; clients take turns. request: the same for every image of a request, whose
    requests take turns within their client; None for an image that is a request of its own.
    """

    pixels: Pixels
    deadline: float
    self_test: bool = False
    outputs: frozenset[str] = frozenset()
    priority: int = 0
    worker: int | None = None
    client: str = ""
    request: Hashable = None
    submitted: float = field(default_factory=time.monotonic)
    future: Future[Result[RowT]] = field(default_factory=Future)


class BatchObserver(Protocol):
    """Called from the workers' threads. Self-tests are not counted as images."""

    def batch_done(
        self, queue_seconds: Sequence[float], inference_seconds: float, *, failed: int = 0
    ) -> None: ...

    def batch_failed(self, images: int) -> None: ...

    def dropped(self, reason: str) -> None: ...

    def worker_failed(self, reason: str) -> None: ...


class Worker(Generic[RowT]):
    """A thread, and the batch that it runs."""

    def __init__(
        self, index: int, run: BatchFn[RowT], work: Callable[[Worker[RowT]], None], name: str
    ) -> None:
        self.index = index
        self.run = run
        self.thread = threading.Thread(target=work, args=(self,), name=name, daemon=True)
        self.batch: list[BatchItem[RowT]] = []
        self.stuck = False
        # Of the current batch: its padded size, and when it was taken from the queue.
        self.size: int
        self.since: float

    def busy_seconds(self, now: float) -> float:
        """Time that the current batch has taken so far; 0 without one."""
        return now - self.since if self.batch else 0.0


def row_of(rows: Rows[RowT], index: int) -> RowT | ServiceError:
    """The row, or the error that concerns this row alone."""
    try:
        return rows[index]
    except ServiceError as error:
        return error


def pad_batch(batch: Sequence[BatchItem[Any]], size: int) -> Pixels:
    """The images as one batch, uint8 [size, H, W, 3], zeros after the last."""
    pixels = np.zeros((size, *batch[0].pixels.shape), np.uint8)
    for row, pending in zip(pixels, batch, strict=False):
        row[...] = pending.pixels
    return pixels


def fail(future: Future[Any], error: ServiceError) -> None:
    """Sets the error, unless there is a result or an error already."""
    try:
        future.set_exception(error)
    except InvalidStateError:
        logger.debug("The image was cancelled or has its result already")
