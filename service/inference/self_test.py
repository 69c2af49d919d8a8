"""An image with a known answer, sent now and then through the queue that users' images take."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal

import numpy as np
import numpy.typing as npt

from service.batching.batcher import Batcher
from service.batching.item import Result
from service.errors import ServiceError

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
Outcome = Literal["right", "wrong", "failed", "late"]

# Between batches of different sizes a probability moves by less; a broken device moves it by more.
TOLERANCE = 0.05


class SelfTest:
    """One model's. Asked to `look` again and again, it sends, waits and judges; it never blocks.

    pixels: uint8 [H, W, 3]. expected: the probabilities that the model gave for it at warm-up,
    float32 [classes]. observe: told how each canary ended.
    """

    def __init__(
        self,
        batcher: Batcher,
        pixels: Pixels,
        expected: Array,
        *,
        observe: Callable[[Outcome], None],
    ) -> None:
        self._batcher = batcher
        self._pixels = pixels
        self._expected = expected
        self._observe = observe
        self._pending: Future[Result] | None = None
        self._sent = time.monotonic()
        self._late = False
        self.problem: str | None = None

    def poll(self, *, interval_seconds: float, stuck_timeout_seconds: float) -> None:
        """Judges the canary that is out, or sends one when it is time."""
        now = time.monotonic()
        if self._pending is None:
            # After one that went wrong the next goes at once.
            if self.problem is not None or now - self._sent >= interval_seconds:
                self._send()
        elif self._pending.done():
            self._judge(self._pending)
            self._pending = None
        elif now - self._sent > stuck_timeout_seconds and not self._late:
            self._late = True
            self._finish("late", f"no answer within {stuck_timeout_seconds:.1f} s")

    def _send(self) -> None:
        self._sent, self._late = time.monotonic(), False
        try:
            self._pending = self._batcher.submit(
                self._pixels, deadline=float("inf"), self_test=True
            )
        except ServiceError as error:
            self._finish("failed", str(error))

    def _judge(self, answered: Future[Result]) -> None:
        error = answered.exception()
        if error is not None:
            self._finish("failed", str(error))
            return
        difference = float(np.abs(answered.result().output - self._expected).max())
        # Said so that a NaN is wrong too.
        if not difference <= TOLERANCE:
            self._finish("wrong", f"the answer is off by {difference:.3g}")
            return
        if self.problem is not None:
            logger.info("The canary is answered rightly again")
        self.problem = None
        self._observe("right")

    def _finish(self, outcome: Outcome, problem: str) -> None:
        if self.problem != problem:
            logger.error("A canary went wrong: %s", problem)
        self.problem = problem
        self._observe(outcome)
