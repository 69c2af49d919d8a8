"""Starts, uses and ends one process that decodes images (`service.imaging.sandbox`)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import time
from hashlib import sha256
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy as np
import numpy.typing as npt

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import DecoderFailed, InvalidImage
from service.imaging.limits.frames import MAX_FRAMES
from service.imaging.sandbox import PIXELS, READY, REFUSALS, REFUSED

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]

START_SECONDS = 60.0
END_SECONDS = 1.0
# The log takes at most so many bytes of what a process wrote to stderr before it was ready.
START_UP_BYTES = 16 * 2**10


class DecoderProcess:
    """One process, started when it is first needed and again after it had to be ended.

    Not for two threads at once.
    """

    def __init__(
        self, *, max_pixels: int, timeout_seconds: float, max_frames: int = MAX_FRAMES
    ) -> None:
        self._limits = {"max_pixels": max_pixels, "max_frames": max_frames}
        self._timeout_seconds = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        # The read end of the process's stderr, until the process is ready.
        self._start_up: int | None = None
        self._ready = False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Does nothing where it runs already, and does not wait until it is ready."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._connection, theirs = Pipe()
        _bound_writes(self._connection, self._timeout_seconds)
        path = os.pathsep.join(folder for folder in sys.path if folder)
        self._start_up, stderr = os.pipe()
        # A process that fills the pipe loses the rest of its text; it must not block on it.
        os.set_blocking(stderr, False)
        os.set_blocking(self._start_up, False)
        with theirs, open(stderr, "wb"):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.imaging.sandbox", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # The process itself discards its stderr once it is ready (`main`).
                stderr=stderr,
            )
        self._ready = False

    def decode(self, data: bytes | memoryview, preprocessing: Preprocessing) -> Pixels:
        """What `images.decode` gives and raises; InvalidImage where the image ended the process,
        or took too long and the process was ended for it. Raises DecoderFailed.
        """
        self.start()
        if not self._ready and self._receive(START_SECONDS) != READY:
            raise self._start_failure()
        self._ready = True
        self._close_start_up()
        assert self._connection is not None
        try:
            self._connection.send((preprocessing, self._limits, len(data)))
            _write(self._connection.fileno(), data)
        except ConnectionError:
            # It has ended, and what is received says how.
            pass
        except BlockingIOError as error:
            self.close()
            raise DecoderFailed(
                f"The decoder took no image for {self._timeout_seconds:g} s."
            ) from error
        started = time.monotonic()
        answer = self._receive(self._timeout_seconds)
        seconds = time.monotonic() - started
        if answer is None:
            status = self.close()
            image = f"An image of {len(data)} bytes with sha256 {sha256(data).hexdigest()}"
            if seconds >= self._timeout_seconds:
                logger.warning("%s was given up after %.1f s", image, seconds)
                raise InvalidImage(f"It was not decoded within {self._timeout_seconds:g} s.")
            logger.error("%s ended its decoder, with status %s", image, status)
            raise InvalidImage("The image can't be decoded: it ended its decoder.")
        if answer.startswith(REFUSED):
            name, message = json.loads(answer.removeprefix(REFUSED))
            raise REFUSALS[name](message)
        size = preprocessing.crop_size
        return np.frombuffer(answer, np.uint8, offset=len(PIXELS)).reshape(size, size, 3)

    def kill(self) -> None:
        """From any thread; the one that decodes finds out."""
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> int | None:
        """Ends it. Its exit status, a signal's number negative; None where it did not run."""
        self._close_start_up()
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        process.kill()
        return process.wait()

    def _start_failure(self) -> DecoderFailed:
        """Ends the process, and logs what it wrote to stderr; the last line is in the error."""
        start_up, self._start_up = self._start_up, None
        status = self.close()
        message = f"The decoder did not start; its status was {status}."
        assert start_up is not None
        with open(start_up, "rb", buffering=0) as pipe:
            # None or nothing where the process wrote nothing.
            written = pipe.read() or b""
        text = written[-START_UP_BYTES:].decode(errors="replace").strip()
        if text:
            logger.error("The decoder wrote before it ended:\n%s", text)
            message += f" Its last line was: {text.splitlines()[-1]}"
        return DecoderFailed(message)

    def _close_start_up(self) -> None:
        start_up, self._start_up = self._start_up, None
        if start_up is not None:
            os.close(start_up)

    def _receive(self, timeout_seconds: float) -> bytes | None:
        """None where nothing comes in time, or the process has ended.

        Bytes and JSON: what took the process over must not take this one over by a pickle.
        """
        assert self._connection is not None
        try:
            if self._connection.poll(timeout_seconds):
                return self._connection.recv_bytes()
        except (EOFError, ConnectionError):
            assert self._process is not None
            # It is about to be gone, and its own status says more than our killing it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
        return None


def _bound_writes(connection: Connection, seconds: float) -> None:
    """Raises BlockingIOError from one that the other end takes nothing of for so long."""
    microseconds = round(1_000_000 * seconds)
    timeout = struct.pack("@ll", *divmod(microseconds, 1_000_000))
    with socket.socket(fileno=os.dup(connection.fileno())) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)


def _write(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
