"""Images in, rows out: the core of every driver. Picklable; its model is loaded once a process."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from model_builder.build.subprocess import BUILD_TIMEOUT_SECONDS
from service.engines.registry import ENGINES, EngineSpec
from service.errors import InvalidParameter
from service.inference.model import Model
from service.inference.outputs import OUTPUTS
from service.inference.request import InferenceRequest
from service.scoring.errors import InvalidInput, Unreadable
from service.scoring.filesystem import read_location
from service.scoring.identity import model_record
from service.scoring.sources.item import Item
from service.scoring.table import PREDICTIONS, ScoredRow, make_schema, make_table
from service.scoring.worker import (
    PROBABILITIES,
    TIMEOUT_SECONDS,
    WAIT_SECONDS,
    ModelDescription,
    Wanted,
    Worker,
)
from service.settings import Settings

# Outputs that are one list of numbers.
LISTS = tuple(name for name, spec in OUTPUTS.items() if not spec.needs_feature_map)
OUTPUT_NAMES = (PREDICTIONS, *LISTS)
# At work at the same time, in the largest batches: enough to keep the device busy while others are
# read and decoded, and few to be scored again after a kill.
BATCHES_IN_FLIGHT = 4
MIN_IN_FLIGHT = 32
# Of a CPU that computes several at the same time: those, and as many twice that are decoded.
BATCHES_A_STREAM = 3

_workers: dict[str, Worker] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Scorer:
    """Arrow tables with images to Arrow tables with their scores.

    settings: of the process that makes it; a worker elsewhere takes them as they are. outputs:
    "predictions", "embedding", "logits" or "probabilities". top_k: classes in the predictions, by
    default 5. Raises InvalidInput for another output.
    """

    settings: Settings
    outputs: tuple[str, ...] = (PREDICTIONS,)
    top_k: int | None = None
    engines: tuple[EngineSpec, ...] = ENGINES
    # Of its worker among those of a process.
    _key: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        if not self.outputs or (unknown := set(self.outputs) - set(OUTPUT_NAMES)):
            received = ", ".join(sorted(unknown)) if self.outputs else "none"
            raise InvalidInput(
                f"Outputs of a job are {', '.join(OUTPUT_NAMES)}. Received: {received}"
            )
        key = self.settings.model_dump_json() + repr((self.outputs, self.top_k, self.engines))
        object.__setattr__(self, "_key", key)

    def __call__(self, table: Any) -> Any:
        """A row for each row, in their order; a bad image has its reason in `error`.

        table: a `pyarrow.Table`, or what one can be made of, with a column "bytes" of images, or
        "path", or both: what has no bytes is read from "location", or else from its path. A row
        with a text in "unreadable" gets that for its error.
        Raises ScoringStopped where the model can't be loaded or runs no more.
        """
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        rows = table.num_rows
        paths = columns.get("path") or [str(index) for index in range(rows)]
        data = columns.get("bytes") or [None] * rows
        locations = columns.get("location") or [None] * rows
        reasons = columns.get("unreadable") or [None] * rows
        at_work: deque[Future[ScoredRow]] = deque()
        done: list[ScoredRow] = []
        for one in zip(paths, data, locations, reasons, strict=True):
            if len(at_work) == self.in_flight:
                done.append(at_work.popleft().result(WAIT_SECONDS))
            at_work.append(self.submit(self._item(*one)))
        done += [future.result(WAIT_SECONDS) for future in at_work]
        return self.table(done)

    def submit(self, item: Item) -> Future[ScoredRow]:
        """Reads and scores one image, in the worker of this process."""
        return self._worker().submit(item.path, item.read, Wanted(self.outputs, self.top_k))

    def table(self, rows: Sequence[ScoredRow]) -> Any:
        return make_table(rows, self.describe().schema)

    def describe(self) -> ModelDescription:
        """Loads the model. Raises ScoringStopped, and InvalidInput where it has no such top_k."""
        worker = self._worker()
        if worker.description is None:
            worker.description = self._described(worker)
        return worker.description

    @property
    def model(self) -> Model:
        """Of the worker of this process."""
        return self._worker().model

    @property
    def batch_size(self) -> int:
        """The device's largest batch."""
        return self.model.batch_sizes.largest

    @property
    def in_flight(self) -> int:
        """How many images a driver keeps at work."""
        streams = sum(engine.concurrency for engine in self.model.engines)
        batches = max(BATCHES_IN_FLIGHT, BATCHES_A_STREAM * streams)
        return max(MIN_IN_FLIGHT, batches * self.batch_size)

    @property
    def load_seconds(self) -> float:
        """How long loading may take: a download, and the builds of another process and of ours."""
        return self.settings.model.fetch_timeout_seconds + 2 * BUILD_TIMEOUT_SECONDS

    def close(self) -> None:
        """Ends the worker of this process."""
        with _lock:
            worker = _workers.pop(self._key, None)
        if worker is not None:
            worker.close()

    def _worker(self) -> Worker:
        with _lock:
            if self._key not in _workers:
                _workers[self._key] = Worker(self.settings, self.engines, self.load_seconds)
            return _workers[self._key]

    def _item(
        self, path: str | None, data: bytes | None, location: str | None, reason: str | None
    ) -> Item:
        max_bytes = self.settings.limits.max_body_bytes
        if reason is not None:
            return Item(path or "", partial(_refuse, reason))
        if data is None:
            return Item(path or "", partial(read_location, location or path or "", max_bytes))
        return Item(path or "", partial(_checked, data, max_bytes))

    def _described(self, worker: Worker) -> ModelDescription:
        model = worker.model
        try:
            model.top_k(self.top_k)
        except InvalidParameter as error:
            raise InvalidInput(str(error)) from error
        edge = model.artifact.manifest.preprocessing.crop_size
        names = tuple(name for name in self.outputs if name != PREDICTIONS) or (PROBABILITIES,)
        blank = np.zeros((edge, edge, 3), np.uint8)
        row = worker.run(InferenceRequest((blank,), time.monotonic() + TIMEOUT_SECONDS, names))
        sizes = {name: int(values.shape[0]) for name, values in row.outputs.items()}
        record = {
            **model_record(model.artifact),
            "outputs": list(self.outputs),
            "top_k": model.top_k(self.top_k) if PREDICTIONS in self.outputs else None,
        }
        return ModelDescription(record, make_schema(self.outputs, sizes))


def _checked(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise Unreadable(f"it has {len(data)} bytes; at most {max_bytes} are read")
    return data


def _refuse(reason: str) -> bytes:
    raise Unreadable(reason)
