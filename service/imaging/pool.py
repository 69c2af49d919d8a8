"""Decodes images in processes of its own, a bounded number at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import DeadlineExceeded
from service.imaging.decoder_process import DecoderProcess
from service.imaging.limits.frames import MAX_FRAMES

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """pixels: uint8 [H, W, 3]. seconds: the decoding alone, without its wait for a thread."""

    pixels: Pixels
    seconds: float


class DecoderPool:
    """A thread and a process for each image that is decoded at once.

    Admission limits how many wait. timeout_seconds: after that long the
    process is ended, and its image refused. `observe` is told each one's seconds.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_pixels: int,
        timeout_seconds: float,
        observe: Callable[[float], object],
        max_frames: int = MAX_FRAMES,
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decoder")
        self._processes = [
            DecoderProcess(
                max_pixels=max_pixels, max_frames=max_frames, timeout_seconds=timeout_seconds
            )
            for _ in range(threads)
        ]
        # The one that was used last comes first: a quiet service keeps to one of them.
        self._idle = deque(self._processes)
        self._observe = observe

    def start(self) -> None:
        """Starts the processes, and does not wait; else they start with the first images."""
        for process in self._processes:
            process.start()

    async def decode(
        self, data: bytes | memoryview, preprocessing: Preprocessing, *, deadline: float
    ) -> DecodedImage:
        """Raises DeadlineExceeded, and what `DecoderProcess.decode` raises."""

        def work() -> DecodedImage:
            started = time.monotonic()
            if started >= deadline:
                raise DeadlineExceeded("The deadline passed before the image was decoded.")
            process = self._idle.pop()
            try:
                pixels = process.decode(data, preprocessing)
            finally:
                self._idle.append(process)
            seconds = time.monotonic() - started
            self._observe(seconds)
            return DecodedImage(pixels, seconds)

        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Ends the processes; an image that one of them is decoding is refused."""
        # First, or a thread whose image was refused begins with the next.
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
        self._executor.shutdown()
        for process in self._processes:
            process.close()
