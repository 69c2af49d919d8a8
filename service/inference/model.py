"""One loaded artifact: its engines, its batcher, its admission and its self-test."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import Future
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model_builder.artifact.confidence import FittedConfidence
from model_builder.artifact.manifest import Artifact
from service.batching.admission import Admission
from service.batching.batch_sizes import BatchSizes
from service.batching.batcher import Batcher
from service.batching.item import BatchFn, BatchObserver, Result
from service.engines.base import Engine, Run
from service.errors import InvalidParameter
from service.inference.confidence.assessor import Assessor
from service.inference.outputs import BatchOutput, RowOutput, batch_output
from service.inference.self_test import SelfTest
from service.observability.metrics import SelfTestOutcome
from service.observability.request_statistics import RequestStatistics

Pixels = npt.NDArray[np.uint8]

DEFAULT_TOP_K = 5
# A batch is stuck after this many times its expected latency, and not before the minimum.
STUCK_TIMEOUT_BATCHES = 10
MIN_STUCK_TIMEOUT_SECONDS = 5.0


class ModelObserver(BatchObserver, Protocol):
    """Receives the outcomes of self-tests, and how sure the model is of images, as well."""

    def self_test_done(self, outcome: SelfTestOutcome) -> None: ...

    def assessed(self, top: int, confidence: float, ood_score: float | None, /) -> None: ...


class Model:
    """Takes pixels and gives outputs; InferenceService puts images, limits and errors around it."""

    def __init__(
        self,
        artifact: Artifact,
        engines: tuple[Engine, ...],
        observer: ModelObserver,
        *,
        batch_sizes: BatchSizes,
        queue_limit: int,
        wait_limit_seconds: float,
        fitted: FittedConfidence | None = None,
    ) -> None:
        """engines: warm for every batch size. fitted: by `resnet calibrate`, if it was."""
        self.artifact = artifact
        self.assessor = Assessor(artifact.head, fitted, observer.assessed)
        self.engines = engines
        # Of the requests that InferenceService took.
        self.statistics = RequestStatistics()
        self.batch_sizes = batch_sizes
        # Set by the loader: from the start of loading to warm, and the memory gained meanwhile.
        self.load_seconds = 0.0
        self.memory_bytes = 0
        # Of the last feature map, [h, w, features]: set when the model starts.
        self.feature_shape: tuple[int, ...] = ()
        self._observer = observer
        self._self_test: SelfTest | None = None
        # One worker for each batch that an engine runs at the same time.
        self._batch_fns = [
            self._batch_fn(engine.run) for engine in engines for _ in range(engine.concurrency)
        ]
        # Several devices are never one batch's.
        alone = engines[0].alone if len(engines) == 1 else None
        self._batcher: Batcher[RowOutput] = Batcher(
            self._batch_fns,
            batch_sizes=batch_sizes,
            observer=observer,
            alone=None if alone is None else self._batch_fn(alone),
            divided=lambda: self.divided,
            name=f"batcher-{artifact.manifest.name}",
        )
        self.admission = Admission(
            self._batcher, queue_limit=queue_limit, wait_limit_seconds=wait_limit_seconds
        )

    @property
    def name(self) -> str:
        return self.artifact.manifest.name

    @property
    def feature_map_bytes(self) -> int:
        """Of one image, float32."""
        return math.prod(self.feature_shape) * 4

    @property
    def alive(self) -> bool:
        """Whether every worker runs."""
        return self._batcher.alive

    @property
    def divided(self) -> bool:
        """Whether every engine runs as many batches at the same time as it can."""
        return all(engine.divided for engine in self.engines)

    @property
    def batches_at_once(self) -> int:
        """How many batches run at the same time as things are now."""
        return sum(engine.concurrency if engine.divided else 1 for engine in self.engines)

    def divide(self) -> None:
        """Blocks until every engine is divided. Raises BuilderError."""
        for engine in self.engines:
            engine.divide()

    @property
    def queue_depth(self) -> int:
        """Images that wait for the device."""
        return self._batcher.depth

    @property
    def wait_seconds(self) -> float:
        """Expected time until every image that waits now has its result."""
        return self.admission.wait_seconds

    @property
    def images_per_second(self) -> float:
        """Throughput of all devices together, by the latency so far."""
        return self._batcher.images_per_second

    def start(self) -> None:
        """Records the self-test's expected logits, then starts the workers."""
        pixels = self.artifact.golden.pixels[0]
        smallest = np.repeat(pixels[None], self.batch_sizes.sizes[0], axis=0)
        expected = self._batch_fns[0](smallest, frozenset({"class_activation_map"}))[0]
        assert expected.feature_map is not None
        self.feature_shape = expected.feature_map.shape
        self._self_test = SelfTest(
            self._batcher,
            pixels,
            expected.logits,
            workers=len(self._batch_fns),
            observe=self._observer.self_test_done,
        )
        self._batcher.start()

    def submit(
        self,
        pixels: Pixels,
        *,
        outputs: Sequence[str],
        deadline: float,
        priority: int = 0,
        client: str = "",
        request: Hashable = None,
    ) -> Future[Result[RowOutput]]:
        """Queues one image, uint8 [H, W, 3]. Raises what `Batcher.submit` raises."""
        return self._batcher.submit(
            pixels,
            deadline=deadline,
            outputs=frozenset(outputs),
            priority=priority,
            client=client,
            request=request,
        )

    def close(self, timeout_seconds: float) -> bool:
        """Finishes what is queued. Returns whether that was done in time."""
        return self._batcher.close(timeout_seconds)

    def top_k(self, requested: int | None) -> int:
        """How many classes to name: by default 5, or all of a model with fewer.

        Raises InvalidParameter for a number that the model does not have.
        """
        classes = len(self.artifact.labels)
        if requested is None:
            return min(DEFAULT_TOP_K, classes)
        if not 1 <= requested <= classes:
            raise InvalidParameter(
                f"top_k must be 1 to {classes} for {self.name}. Received: {requested}"
            )
        return requested

    def check_pixels(self, rows: Iterable[object]) -> None:
        """Raises InvalidParameter where a row is pixels, and not as the network takes them."""
        size = self.artifact.manifest.preprocessing.crop_size
        for row in rows:
            if not isinstance(row, np.ndarray):
                continue
            if row.shape != (size, size, 3) or row.dtype != np.uint8:
                raise InvalidParameter(
                    f"{self.name} takes pixels uint8 [{size}, {size}, 3]. "
                    f"Received: {row.dtype} {list(row.shape)}"
                )

    def check_health(self, self_test_interval_seconds: float) -> None:
        """Fails stuck batches and runs self-tests; 0 seconds turns these off. Call it regularly."""
        self._batcher.fail_stuck_batches(self.stuck_timeout_seconds)
        if self_test_interval_seconds and self._self_test is not None:
            self._self_test.poll(
                interval_seconds=self_test_interval_seconds,
                stuck_timeout_seconds=self.stuck_timeout_seconds,
            )

    @property
    def stuck_timeout_seconds(self) -> float:
        """A batch that takes longer is stuck."""
        largest = self._batcher.latency.batch_seconds(self.batch_sizes.largest)
        return max(MIN_STUCK_TIMEOUT_SECONDS, STUCK_TIMEOUT_BATCHES * largest)

    def worker_problems(self) -> list[str]:
        if not self.alive:
            return [f"a worker of {self.name} died"]
        return [f"a worker of {self.name} is stuck"] if self._batcher.stuck else []

    def self_test_problems(self) -> list[str]:
        if self._self_test is None:
            return []
        return [f"the self-test of {self.name}: {text}" for text in self._self_test.problems()]

    def _batch_fn(self, run_engine: Run) -> BatchFn[RowOutput]:
        head = self.artifact.head

        def run(pixels: Pixels, outputs: frozenset[str]) -> BatchOutput:
            return batch_output(run_engine(pixels), head, outputs)

        return run


class OneModel:
    """A repository of a single model, which every name stands for."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def get(self, name: str | None = None, version: str | None = None) -> Model:  # noqa: ARG002
        return self._model
