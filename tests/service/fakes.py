"""Stand-ins for a device: an engine that sees colors, with controlled faults."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from model_builder.artifact.head import Head
from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import Golden
from service.batching.batch_sizes import BatchSizes

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

WAIT_SECONDS = 30.0
FEATURES = 512

LABELS = (
    Label("red", "n00000001"),
    Label("green", "n00000002"),
    Label("blue", "n00000003"),
    Label("white"),
    Label("black"),
)
COLOR_KERNEL = (
    # To red, green, blue, white, black; from the means of red, green and blue.
    (1.0, -1.0, -1.0, 1.0, -1.0),
    (-1.0, 1.0, -1.0, 1.0, -1.0),
    (-1.0, -1.0, 1.0, 1.0, -1.0),
)


def color_head() -> Head:
    """Classifies an image by its dominant color, from `FakeEngine`'s features."""
    kernel = np.zeros((FEATURES, len(LABELS)), np.float32)
    kernel[:3] = COLOR_KERNEL
    return Head(10 * kernel, np.array([0, 0, 0, -20, 5], np.float32))


def no_golden() -> Golden:
    """A stand-in for golden images, which a fake engine does not reproduce."""
    return Golden(np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, len(LABELS)), np.float32))


def eventually(condition: Callable[[], bool]) -> None:
    """Waits until the condition holds; fails after WAIT_SECONDS."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{condition} did not come to hold")
        time.sleep(0.002)


class FakeEngine:
    """The first three features are the mean red, green and blue, 0 to 1; the rest are zeros.

    batches: the sizes of its batches. failure: raised by `run`. missing: how many feature maps
    too few it returns. blind: whether it sees blue whatever it is shown.
    """

    def __init__(self, device: str = "cpu:0", batch_sizes: tuple[int, ...] = (1, 2, 4)) -> None:
        self.device = device
        self.batch_sizes = batch_sizes
        self.max_batch_size = batch_sizes[-1]
        self.takes_any_size = False
        self.concurrency = 1
        self.alone: Callable[[Pixels], Array] | None = None
        self.divided = True
        self.batches: list[int] = []
        self.failure: BaseException | None = None
        self.missing = 0
        self.blind = False
        self._go = threading.Event()
        self._go.set()
        self._busy = threading.Event()

    def run(self, pixels: Pixels) -> Array:
        self.batches.append(len(pixels))
        self._busy.set()
        if not self._go.wait(WAIT_SECONDS):
            raise TimeoutError("the test never released the engine")
        if self.failure is not None:
            raise self.failure
        features = np.zeros((len(pixels), 2, 2, FEATURES), np.float32)
        if not self.blind:
            features[..., :3] = pixels.mean(axis=(1, 2))[:, None, None] / 255
        else:
            features[..., 2] = 1
        return features[: len(pixels) - self.missing]

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:
        self.batch_sizes = batch_sizes

    def divide(self) -> None:
        self.divided = True

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Meanwhile every batch waits within `run`."""
        self.block()
        try:
            yield
        finally:
            self.release()

    def block(self) -> None:
        self._busy.clear()
        self._go.clear()

    def release(self) -> None:
        self._go.set()

    def wait_until_busy(self) -> None:
        assert self._busy.wait(WAIT_SECONDS), "no batch arrived"


def batch_sizes_of(engine: FakeEngine) -> BatchSizes:
    """Its sizes with equal latencies: the best batch is all waiting images."""
    return BatchSizes(dict.fromkeys(engine.batch_sizes, 0.001))


class Recorder:
    """A model's observer that records what it is called with."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.failed: list[int] = []
        self.drops: Counter[str] = Counter()
        self.worker_failures: Counter[str] = Counter()
        self.self_tests: Counter[str] = Counter()
        self.assessments: list[tuple[int, float, float | None]] = []

    def batch_done(
        self, queue_seconds: Sequence[float], inference_seconds: float, *, failed: int = 0
    ) -> None:
        assert min(queue_seconds, default=0) >= 0
        assert inference_seconds >= 0
        self.done.append(len(queue_seconds))
        if failed:
            self.failed.append(failed)

    def batch_failed(self, images: int) -> None:
        self.failed.append(images)

    def dropped(self, reason: str) -> None:
        self.drops[reason] += 1

    def worker_failed(self, reason: str) -> None:
        self.worker_failures[reason] += 1

    def self_test_done(self, outcome: str) -> None:
        self.self_tests[outcome] += 1

    def assessed(self, top: int, confidence: float, ood_score: float | None) -> None:
        self.assessments.append((top, confidence, ood_score))

    @property
    def images(self) -> int:
        """The number of images in all recorded events."""
        return sum(self.done) + sum(self.failed) + sum(self.drops.values())
