"""The rate of a large product of float32 matrices: what this machine's CPUs can compute."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType

import numpy as np

# Three matrices of 16 MB: large enough that arithmetic is what takes the time.
SIZE = 2048
ANSWER_TIMEOUT_SECONDS = 300.0


class Sgemm:
    """NumPy's BLAS in its own process, which is idle between measurements."""

    def __enter__(self) -> Sgemm:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def gflops(self, at_least_seconds: float) -> float:
        """10^9 additions and multiplications a second."""
        return self._pool.submit(_gflops, at_least_seconds).result(ANSWER_TIMEOUT_SECONDS)


def _gflops(at_least_seconds: float) -> float:
    chance = np.random.default_rng(0)
    left, right = (chance.random((SIZE, SIZE), np.float32) for _ in range(2))
    product = left @ right
    runs, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < at_least_seconds or runs == 0:
        np.matmul(left, right, out=product)
        runs += 1
    return runs * 2 * SIZE**3 / elapsed / 1e9
