"""The model of a worker process: loaded once, whatever sends it images."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from service.engines.registry import EngineSpec
from service.errors import (
    DeadlineExceeded,
    InferenceFailed,
    ServiceError,
    Unavailable,
)
from service.inference.model import Model
from service.inference.outputs import ClassScore
from service.inference.outputs import top_k as top_classes
from service.inference.request import InferenceRequest, RowResult
from service.inference.runtime import Runtime
from service.scoring.errors import ScoringStopped, Unreadable
from service.scoring.table import PREDICTIONS, ScoredRow
from service.settings import Settings

# For one image, its wait for room included.
TIMEOUT_SECONDS = 600.0
# Errors that are not the image's are tried again so often, after 1, 2, 4 s.
ATTEMPTS = 4
# For one image, however often it is tried.
WAIT_SECONDS = 3600.0
READERS = 16
# Of images that are read and not decoded yet; no reader begins beyond it.
MAX_HELD_BYTES = 1 << 28
PROBABILITIES = "probabilities"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a job's output depends on. record: the model, as JSON. schema: of the tables."""

    record: dict[str, Any]
    schema: Any


@dataclass(frozen=True, slots=True)
class Wanted:
    """What rows hold. outputs: names; "predictions" are the `top_k` most probable classes."""

    outputs: tuple[str, ...]
    top_k: int | None

    @property
    def computed(self) -> tuple[str, ...]:
        """The names that InferenceService knows them by."""
        names = (PROBABILITIES if name == PREDICTIONS else name for name in self.outputs)
        return tuple(dict.fromkeys(names))


class Worker:
    """InferenceService with an event loop of its own, for any thread.

    load_seconds: how long loading may take. Raises ScoringStopped where the model can't be loaded.
    """

    def __init__(
        self, settings: Settings, engines: Sequence[EngineSpec], load_seconds: float
    ) -> None:
        ready, failed = threading.Event(), list[str]()

        def fail(reason: str) -> None:
            failed.append(reason)
            ready.set()

        self._runtime = Runtime(
            settings,
            names=[settings.model.default],
            engines=engines,
            on_ready=ready.set,
            on_failure=fail,
        )
        self._runtime.start()
        if not ready.wait(load_seconds) or failed:
            self._runtime.stop()
            reason = failed[0] if failed else f"it was not ready after {load_seconds:g} s"
            raise ScoringStopped(f"{settings.model.default} can't be loaded: {reason}")
        # What the scorer found out about the model.
        self.description: ModelDescription | None = None
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._reading = asyncio.Semaphore(READERS)
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._held_bytes = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="scoring-loop", daemon=True
        )
        self._thread.start()

    @property
    def model(self) -> Model:
        return self._runtime.service.model()

    def submit(self, path: str, read: Callable[[], bytes], wanted: Wanted) -> Future[ScoredRow]:
        """Reads and scores one image. The outcome is a row, or ScoringStopped."""
        return asyncio.run_coroutine_threadsafe(self._score(path, read, wanted), self._loop)

    def run(self, request: InferenceRequest) -> RowResult:
        """Raises ServiceError."""
        work = self._runtime.service.infer_one(request)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_SECONDS)

    def close(self) -> None:
        """Ends every thread and process; what is being scored is lost."""
        self._runtime.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_SECONDS)
        if not self._loop.is_running():
            self._loop.close()
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def _score(self, path: str, read: Callable[[], bytes], wanted: Wanted) -> ScoredRow:
        try:
            async with self._reading:
                await self._has_room.wait()
                data = await self._loop.run_in_executor(self._readers, read)
                self._hold(len(data))
            try:
                row = await self._infer(data, wanted.computed)
            finally:
                self._hold(-len(data))
        except (ServiceError, Unreadable) as error:
            return ScoredRow(path, error=str(error), error_code=error.code)
        predictions: tuple[ClassScore, ...] = ()
        if PREDICTIONS in wanted.outputs:
            model = self.model
            k = model.top_k(wanted.top_k)
            predictions = top_classes(row.outputs[PROBABILITIES], model.artifact.labels, k)
        return ScoredRow(path, predictions, row.outputs)

    def _hold(self, more_bytes: int) -> None:
        self._held_bytes += more_bytes
        if self._held_bytes < MAX_HELD_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _infer(self, data: bytes, outputs: tuple[str, ...]) -> RowResult:
        """Raises the error of the image, or ScoringStopped where the fault is another's."""
        for attempt in range(ATTEMPTS):
            deadline = time.monotonic() + TIMEOUT_SECONDS
            request = InferenceRequest((data,), deadline, outputs, wait_for_room=True)
            try:
                return await self._runtime.service.infer_one(request)
            except (Unavailable, DeadlineExceeded, InferenceFailed) as error:
                if attempt < ATTEMPTS - 1:
                    await asyncio.sleep(2**attempt)
                elif isinstance(error, InferenceFailed):
                    raise
                else:
                    raise ScoringStopped(
                        f"Images can't be scored here: {error} What is published stays; the same "
                        "command continues."
                    ) from error
        raise AssertionError("unreachable")
