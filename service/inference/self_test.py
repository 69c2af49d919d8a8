"""An image with a known answer, sent at intervals through the queue that clients' images take."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

from service.batching.batcher import Batcher
from service.batching.item import Result
from service.errors import NonFiniteOutput, ServiceError
from service.inference.outputs import RowOutput
from service.observability.metrics import SelfTestOutcome

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

# Largest difference of a logit, in units of the expected logits' standard deviation. Batches of
# different sizes differ by less; a broken device by more, however flat its softmax is.
TOLERANCE = 0.1


class SelfTest:
    """One model's. `poll` sends, waits and judges; it never blocks.

    Every worker, and so every device, is tested in turn; one that answers wrongly stays a problem
    until it answers rightly. pixels: uint8 [H, W, 3]. expected: its logits at warm-up, float32
    [classes]. observe: receives the outcome of each test.
    """

    def __init__(
        self,
        batcher: Batcher[RowOutput],
        pixels: Pixels,
        expected: Array,
        *,
        workers: int,
        observe: Callable[[SelfTestOutcome], None],
    ) -> None:
        self._batcher = batcher
        self._pixels = pixels
        self._expected = expected
        # Logits that are all equal have no spread: differences are then absolute.
        self._spread = float(expected.std()) or 1.0
        self._observe = observe
        self._tests = [_WorkerTest() for _ in range(workers)]
        self._next = 0
        self._sent = time.monotonic()

    def problems(self) -> list[str]:
        """What is wrong, for each worker whose last test was not right."""
        several = len(self._tests) > 1
        return [
            f"worker {index}: {test.problem}" if several else test.problem
            for index, test in enumerate(self._tests)
            if test.problem is not None
        ]

    def poll(self, *, interval_seconds: float, stuck_timeout_seconds: float) -> None:
        """Judges the tests that are under way, and sends the next one when it is due."""
        now = time.monotonic()
        for test in self._tests:
            if test.pending is None:
                continue
            if test.pending.done():
                pending, test.pending = test.pending, None
                self._judge(test, pending)
            elif now - test.sent > stuck_timeout_seconds and not test.late:
                test.late = True
                self._finish(test, "late", f"no answer within {stuck_timeout_seconds:.1f} s")
        # While a worker has a problem, the next test is due at once.
        if self.problems() or now - self._sent >= interval_seconds:
            self._send(now)

    def _send(self, now: float) -> None:
        index = self._next
        test = self._tests[index]
        self._next = (index + 1) % len(self._tests)
        if test.pending is not None:
            return
        self._sent = test.sent = now
        test.late = False
        try:
            test.pending = self._batcher.submit(
                self._pixels, deadline=float("inf"), self_test=True, worker=index
            )
        except ServiceError as error:
            self._finish(test, "failed", str(error))

    def _judge(self, test: _WorkerTest, answered: Future[Result[RowOutput]]) -> None:
        error = answered.exception()
        if isinstance(error, NonFiniteOutput):
            self._finish(test, "wrong", str(error))
            return
        if error is not None:
            self._finish(test, "failed", str(error))
            return
        logits = answered.result().output.logits
        difference = float(np.abs(logits - self._expected).max()) / self._spread
        # Written so that a NaN is wrong too.
        if not difference <= TOLERANCE:
            self._finish(
                test, "wrong", f"the logits differ by {difference:.3g} of their standard deviation"
            )
            return
        if test.problem is not None:
            logger.info("The self-test is right again")
        test.problem = None
        self._observe("right")

    def _finish(self, test: _WorkerTest, outcome: SelfTestOutcome, problem: str) -> None:
        if test.problem != problem:
            logger.error("A self-test failed: %s", problem)
        test.problem = problem
        self._observe(outcome)


class _WorkerTest:
    """The state of one worker's tests."""

    def __init__(self) -> None:
        self.pending: Future[Result[RowOutput]] | None = None
        self.sent = 0.0
        self.late = False
        self.problem: str | None = None
