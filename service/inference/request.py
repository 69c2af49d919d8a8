"""What InferenceService takes and gives: rows in, a result or an error for each row out."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from service.errors import ServiceError
from service.inference.confidence.assessor import Assessment
from service.inference.model import Model
from service.inference.outputs import MapClasses

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class InferenceRequest:
    """Images for one model.

    rows: each an encoded image, or pixels uint8 [H, W, 3] of the model's input size. Rows that are
    bytes were taken from the byte budget by the adapter, as they arrived.
    deadline: on the clock of `time.monotonic`.
    outputs: names of `outputs.OUTPUTS`. map_classes: the classes of class activation maps.
    model, version: None for the default.
    client: who asks, any name. Clients take turns in the queue and share its room.
    A higher priority goes ahead of the same client's other requests.
    wait_for_room: wait until the queue has room, up to the deadline, instead of being refused.
    key: what the images of this request have in common in a queue; made here.
    on_decoded: called when no row is to be decoded any more: the bytes may go. Not called where the
    request ends before.
    """

    rows: Sequence[bytes | memoryview | Pixels]
    deadline: float
    outputs: tuple[str, ...] = ("probabilities",)
    model: str | None = None
    version: str | None = None
    priority: int = 0
    wait_for_room: bool = False
    client: str = ""
    on_decoded: Callable[[], None] = lambda: None
    map_classes: MapClasses = 1
    key: Hashable = field(default_factory=object)

    @property
    def image_bytes(self) -> int:
        """Of all rows together."""
        return sum(row.nbytes if isinstance(row, np.ndarray) else len(row) for row in self.rows)


@dataclass(frozen=True, slots=True)
class RequestDeadline:
    """When a request's result is due, on the clock of `time.monotonic`.

    The client's timeout counts from the request's arrival. The server's counts twice: for the
    arrival of the images, and from then on for the result.

    client_timeout_ms: as the request states it; None where it states none.
    """

    arrived: float
    client_timeout_ms: float | None
    server_timeout_seconds: float

    def at(self, now: float) -> float:
        """The deadline, seen at `arrived` or when the images are there."""
        client = math.inf
        if self.client_timeout_ms is not None:
            client = self.arrived + self.client_timeout_ms / 1000
        return min(client, now + self.server_timeout_seconds)


@dataclass(frozen=True, slots=True)
class RowTiming:
    """Where one row's time went, in seconds.

    finished: when the device was done, on the clock of `time.monotonic`.
    """

    decode_seconds: float
    queue_seconds: float
    inference_seconds: float
    finished: float


@dataclass(frozen=True, slots=True, eq=False)
class RowResult:
    """One row's outputs by name, its timing, and how sure the model is of it.

    image_size: width and height of the whole image, upright; None where the row was pixels.
    """

    outputs: Mapping[str, Array]
    timing: RowTiming
    image_size: tuple[int, int] | None = None
    assessment: Assessment | None = None


@dataclass(frozen=True, slots=True, eq=False)
class InferenceResult:
    """rows: in the order of the request's; an image that can't be used fails alone."""

    model: Model
    rows: tuple[RowResult | ServiceError, ...]
