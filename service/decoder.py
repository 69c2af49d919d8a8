"""Decodes pictures in threads of its own, a bounded number at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.preprocessing import Preprocessing
from service.errors import DeadlineExceeded, QueueFull
from service.images import decode

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Decoded:
    """pixels: uint8 [H, W, 3]. seconds: the decoding alone, without its wait for a thread."""

    pixels: Pixels
    seconds: float


class Decoder:
    """Pillow lets go of the interpreter's lock while it decodes and resizes.

    limit: pictures that may wait or be decoded at once. `observe` is told each one's seconds.
    """

    def __init__(
        self, *, threads: int, limit: int, max_pixels: int, observe: Callable[[float], object]
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decoder")
        self._limit = limit
        self._max_pixels = max_pixels
        self._observe = observe
        self._pending = 0

    async def decode(
        self, data: bytes, preprocessing: Preprocessing, *, deadline: float
    ) -> Decoded:
        """Raises QueueFull, DeadlineExceeded, and what `images.decode` raises."""
        if self._pending >= self._limit:
            raise QueueFull(f"{self._pending} pictures wait to be decoded, and that is the limit.")

        def work() -> Decoded:
            started = time.monotonic()
            if started >= deadline:
                raise DeadlineExceeded("The deadline passed before the picture was decoded.")
            pixels = decode(data, preprocessing, max_pixels=self._max_pixels)
            seconds = time.monotonic() - started
            self._observe(seconds)
            return Decoded(pixels, seconds)

        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._pending -= 1

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
