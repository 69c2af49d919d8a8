"""Decodes images in processes of its own, a bounded number at a time, by turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model_builder.artifact.preprocessing import Preprocessing
from service.fairness.precedence import Precedence
from service.imaging.decoder_process import Decoded, DecoderProcess, LargerThanExpected
from service.imaging.formats import check_signature
from service.imaging.header import read_header
from service.imaging.lane import RESTART_SECONDS, Job, Lane
from service.imaging.launcher import Launcher
from service.imaging.limits.dimensions import MAX_FRAMES

Pixels = npt.NDArray[np.uint8]

# An image that is expected to take longer waits for other such images only.
SLOW_SECONDS = 0.05
# Niceness of the processes that decode the bulk, and those: the rest of the service goes first.
# Where that keeps a CPU busy, a tenth of it is left, which decodes some 20 photos a second.
LOW_PRIORITY = 10
# Of one client's quick images for each process, so many wait there; more are its bulk.
QUICK_WAITING = 8
ANY_PIXELS = 0


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """pixels: uint8 [H, W, 3]. seconds: the decoding alone, without its wait for a process.

    hidden_pixels: how many more the whole image has than its first bytes say; usually 0.
    size: width and height of the whole image, upright.
    """

    pixels: Pixels
    seconds: float
    hidden_pixels: int
    size: tuple[int, int]


class DecoderPool:
    """Lanes for quick and for slow images, each with as many processes as there are threads.

    Of a client with many quick images all but a few are decoded in a third one: at a low priority,
    so that engines have the CPU before what they can't take yet.

    precedence: to be told whose images are in the service.
    timeout_seconds: of a CPU; an image that takes longer is refused. `observe` is told
    each image's seconds; `observe_failure` "start", "ended" or "timeout", for a process.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_pixels: int,
        timeout_seconds: float,
        observe: Callable[[float], object],
        observe_failure: Callable[[str], object] = lambda _: None,
        max_frames: int = MAX_FRAMES,
    ) -> None:
        self._max_pixels = max_pixels
        self._launcher = Launcher(observe_failure)
        self._observe = observe
        self.precedence = Precedence()

        def lane(name: str, niceness: int) -> Lane:
            return Lane(
                f"decoder-{name}",
                [
                    DecoderProcess(
                        self._launcher,
                        max_pixels=max_pixels,
                        max_frames=max_frames,
                        timeout_seconds=timeout_seconds,
                        niceness=niceness,
                        observe_failure=observe_failure,
                    )
                    for _ in range(threads)
                ],
                self.precedence,
            )

        self._quick, self._bulk = lane("quick", 0), lane("bulk", LOW_PRIORITY)
        self._slow = lane("slow", LOW_PRIORITY)
        self._lanes = (self._quick, self._bulk, self._slow)
        self._most_waiting = QUICK_WAITING * threads
        self._check: Future[object] | None = None

    @property
    def problem(self) -> str | None:
        """Why no image can be decoded, for readiness; None where nothing is known to be wrong."""
        return self._launcher.problem

    @property
    def waiting(self) -> int:
        """Images that wait for a process."""
        return sum(lane.waiting for lane in self._lanes)

    def start(self) -> None:
        """Finds out whether processes can be started, and does not wait; they start with images."""
        self._check = self._quick.submit(self._launcher.check)

    def check_health(self) -> None:
        """Tries again where no process could be started. Call it regularly, from one thread."""
        if self.problem and (self._check is None or self._check.done()):
            self.start()

    def expected_pixels(self, data: bytes | memoryview) -> int:
        """How many will be decoded, by the first bytes; 0 where that is not known, or none will."""
        pixels = read_header(data).pixels or 0
        return pixels if pixels <= self._max_pixels else 0

    async def decode(
        self,
        data: bytes | memoryview,
        preprocessing: Preprocessing,
        *,
        deadline: float,
        client: str = "",
        request: Hashable = None,
        priority: int = 0,
    ) -> DecodedImage:
        """Clients take turns, and a client's requests. A higher priority goes first among these.

        Cancelled, it leaves the queue, or its process is ended. Raises DeadlineExceeded,
        ShuttingDown, DecoderFailed, and what `decoder.decode` raises.
        """
        # What is no image takes no process's time.
        check_signature(data)
        header = read_header(data)
        expected, seconds = header.pixels or 0, header.decode_seconds

        async def run(lane: Lane, expected_pixels: int) -> DecodedImage:
            job = Job(data, preprocessing, deadline, client, seconds, expected_pixels)
            lane.put(job, request=request, priority=priority)
            decoded, took = await self._outcome(lane, job)
            self._observe(took)
            hidden = max(0, decoded.image_pixels - expected)
            return DecodedImage(decoded.pixels, took, hidden, (decoded.width, decoded.height))

        if seconds <= SLOW_SECONDS:
            try:
                bulk = not priority and self._quick.waiting_of(client) >= self._most_waiting
                return await run(self._bulk if bulk else self._quick, expected)
            except LargerThanExpected as larger:
                seconds = replace(header, pixels=larger.pixels).decode_seconds
        return await run(self._slow, ANY_PIXELS)

    async def _outcome(self, lane: Lane, job: Job) -> tuple[Decoded, float]:
        try:
            return await asyncio.wrap_future(job.outcome)
        except asyncio.CancelledError:
            if lane.cancel(job):
                # What takes less than a new process may end by itself.
                delay = 0 if lane is self._slow else RESTART_SECONDS
                asyncio.get_running_loop().call_later(delay, lane.interrupt, job)
            raise

    def close(self) -> None:
        """Ends the processes; an image that one of them is decoding, or that waits, is refused."""
        # First, or a thread whose image was refused begins with the next.
        for lane in self._lanes:
            lane.close()
        self._launcher.close()
        for lane in self._lanes:
            lane.join()
