"""The service's end of one process that decodes images (`service.imaging.sandbox`)."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import DecoderFailed, InvalidImage
from service.imaging.fork_server_client import ForkedProcess
from service.imaging.launcher import Launcher
from service.imaging.limits.dimensions import MAX_FRAMES
from service.imaging.sandbox import LARGER, LENGTH, OUT_OF_TIME, REFUSALS, REFUSED, SIZE, Task

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]

# A process that ends with an image in it may have been killed for another reason.
ATTEMPTS = 2
# Those that were ended with their fork server included.
MAX_PROCESSES = 5
# An image has so many times its limit by the clock: others may have the CPU.
STALLED_TIMEOUTS = 3
# What took a process over may answer anything.
MAX_ANSWER_BYTES = 2**26


class LargerThanExpected(Exception):
    """The image has more pixels than were expected, and was not decoded."""

    def __init__(self, pixels: int) -> None:
        super().__init__(pixels)
        self.pixels = pixels


class DecodingCancelled(Exception):
    """Nobody waits for the image any more."""


class _Ended(Exception):
    """The process ended instead of an answer, or another thread interrupted it."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """pixels: uint8 [crop_size, crop_size, 3]. image_pixels: of the whole image, whose width and
    height are those of the upright image.
    """

    pixels: Pixels
    image_pixels: int
    width: int
    height: int


class DecoderProcess:
    """One process, started when it is first needed and again after it had to be ended.

    timeout_seconds: of a CPU; then it is ended, and its image refused. observe_failure: told
    "timeout", or "ended" where it ended with an image in it.
    Not for two threads at once, `interrupt` excepted.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        max_pixels: int,
        timeout_seconds: float,
        max_frames: int = MAX_FRAMES,
        niceness: int = 0,
        observe_failure: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._launcher = launcher
        self._limits = {"max_pixels": max_pixels, "max_frames": max_frames}
        self._timeout_seconds = timeout_seconds
        self._niceness = niceness
        self._observe_failure = observe_failure
        self._process: ForkedProcess | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> ForkedProcess:
        """Starts one unless it runs. Raises DecoderFailed or ShuttingDown."""
        if self._process is None or not self._process.alive:
            self.close()
            self._process = self._launcher.launch(self._niceness)
        return self._process

    def decode(
        self,
        data: bytes | memoryview,
        preprocessing: Preprocessing,
        *,
        expected_pixels: int = 0,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Decoded:
        """What `decoder.decode` gives and raises.

        InvalidImage too where the image ended two processes or took too much of a CPU.
        expected_pixels: an image with more raises LargerThanExpected; 0: none does.
        cancelled: asked before it begins, and when the process has ended.
        Raises DecoderFailed, also where the process got nothing done in STALLED_TIMEOUTS,
        ShuttingDown, and DecodingCancelled where it was cancelled.
        """
        task = Task(preprocessing, self._limits, expected_pixels, self._timeout_seconds, len(data))
        ended = 0
        for _ in range(MAX_PROCESSES):
            process = self.start()
            if cancelled():
                raise DecodingCancelled
            try:
                return self._decode(process, data, task)
            except _Ended:
                status = self.close()
                if cancelled():
                    raise DecodingCancelled from None
            if status == OUT_OF_TIME:
                self._observe_failure("timeout")
                logger.warning("%s was given up", _named(data))
                raise InvalidImage(
                    f"It takes more than {self._timeout_seconds:g} s of a CPU to decode."
                )
            self._observe_failure("ended")
            logger.warning("%s was in a decoder that ended, with status %s", _named(data), status)
            # Without a status it was ended with its fork server, which no image sees.
            ended += status is not None
            if ended == ATTEMPTS:
                logger.error("%s ended %d decoders and is refused", _named(data), ATTEMPTS)
                raise InvalidImage("The image can't be decoded: it ended its decoder.")
        raise DecoderFailed("The decoding processes end before they have decoded the image.")

    def interrupt(self) -> None:
        """From any thread: the image that is decoded now is given up, with the process."""
        if (process := self._process) is not None:
            process.interrupt()

    def close(self) -> int | None:
        """Ends it. Its exit status, a signal's number negative; None where that is not known."""
        process, self._process = self._process, None
        return None if process is None else self._launcher.end(process)

    def _decode(self, process: ForkedProcess, data: bytes | memoryview, task: Task) -> Decoded:
        connection, pickled = process.connection, pickle.dumps(task)
        connection.settimeout(self._timeout_seconds)
        try:
            connection.sendall(LENGTH.pack(len(pickled)) + pickled)
            connection.sendall(data)
        except TimeoutError:
            raise self._stalled(f"took no image for {self._timeout_seconds:g} s") from None
        except OSError:
            raise _Ended from None
        started = time.monotonic()
        try:
            (length,) = LENGTH.unpack(self._receive(connection, LENGTH.size, started))
            if length > MAX_ANSWER_BYTES:
                raise _Ended
            answer = self._receive(connection, length, started)
        except TimeoutError:
            raise self._stalled(f"gave no answer for {self._stalled_seconds:g} s") from None
        except OSError:
            raise _Ended from None
        try:
            return _read(answer, task.preprocessing.crop_size)
        except (LookupError, ValueError, struct.error):
            raise _Ended from None

    def _receive(self, connection: socket.socket, size: int, started: float) -> memoryview:
        """Raises _Ended, or TimeoutError."""
        received = memoryview(bytearray(size))
        missing = received
        while missing:
            left = self._stalled_seconds - (time.monotonic() - started)
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            count = connection.recv_into(missing)
            if not count:
                raise _Ended
            missing = missing[count:]
        return received

    @property
    def _stalled_seconds(self) -> float:
        return STALLED_TIMEOUTS * self._timeout_seconds

    def _stalled(self, what: str) -> DecoderFailed:
        self.close()
        self._observe_failure("timeout")
        message = f"The decoding process {what}."
        logger.warning("%s", message)
        return DecoderFailed(message)


def _read(answer: memoryview, size: int) -> Decoded:
    """Bytes and JSON: what took the process over must not take this one over by a pickle."""
    kind, rest = bytes(answer[:1]), answer[1:]
    if kind == REFUSED:
        name, message = json.loads(bytes(rest))
        raise REFUSALS[name](message)
    (pixels,) = LENGTH.unpack(rest[: LENGTH.size])
    if kind == LARGER:
        raise LargerThanExpected(pixels)
    width, height = SIZE.unpack_from(rest, LENGTH.size)
    if not width * height:
        raise ValueError("an image without pixels")
    rendered = np.frombuffer(rest, np.uint8, offset=LENGTH.size + SIZE.size)
    return Decoded(rendered.reshape(size, size, 3), pixels, width, height)


def _named(data: bytes | memoryview) -> str:
    return f"An image of {len(data)} bytes with sha256 {sha256(data).hexdigest()}"
