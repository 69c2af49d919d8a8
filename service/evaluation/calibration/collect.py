"""The network's features and logits of labeled images, through the way that requests take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.errors import ServiceError
from service.evaluation.accuracy import CHUNK, TIMEOUT_SECONDS, LabeledImage
from service.inference.request import InferenceRequest, RowResult
from service.inference.service import InferenceService

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """pooled: float32 [N, features]. logits: float32 [N, classes]. class_ids: the labels [N]."""

    pooled: Array
    logits: Array
    class_ids: Indices

    def __len__(self) -> int:
        return len(self.class_ids)

    def rows(self, chosen: Indices) -> Collected:
        """Those of the indices [M]."""
        return Collected(self.pooled[chosen], self.logits[chosen], self.class_ids[chosen])


async def collect(
    images: Sequence[LabeledImage],
    service: InferenceService,
    *,
    skipped: Callable[[Path, ServiceError], None],
    advance: Callable[[int], None],
) -> Collected:
    """Sends every image through the service, CHUNK at a time.

    skipped: called with each image that can't be decoded. advance: called with the number of images
    done since the last call. Raises ServiceError where inference fails, and OSError.
    """
    features, logits, class_ids = [], [], []

    async def infer(image: LabeledImage) -> RowResult | ServiceError:
        data = await asyncio.to_thread(image.path.read_bytes)
        due = time.monotonic() + TIMEOUT_SECONDS
        wanted = ("embedding", "logits")
        request = InferenceRequest((data,), due, wanted, wait_for_room=True)
        (row,) = (await service.infer(request)).rows
        return row

    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        for image, row in zip(chunk, await asyncio.gather(*map(infer, chunk)), strict=True):
            if isinstance(row, ServiceError):
                skipped(image.path, row)
                continue
            features.append(row.outputs["embedding"])
            logits.append(row.outputs["logits"])
            class_ids.append(image.class_id)
        advance(len(chunk))
    return Collected(
        np.array(features, np.float32), np.array(logits, np.float32), np.array(class_ids, np.int64)
    )
