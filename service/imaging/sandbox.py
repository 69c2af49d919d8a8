"""Decodes images in a process that can be ended: what a file does there, it does to nobody else.

`python -m service.imaging.sandbox N` is that process; N is its end of the socket.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import AvifImagePlugin, Image, PngImagePlugin

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import (
    DecoderFailed,
    ImageTooLarge,
    InvalidImage,
    ServiceError,
    UnsupportedMedia,
)
from service.imaging import decoder as images
from service.imaging.limits.frames import MAX_FRAMES

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]

STATM = Path("/proc/self/statm")
# What a header may cost: of a CPU, and of memory beside the copies that readers make of the
# file. Pillow reads them in Python, which a signal interrupts.
HEADER_SECONDS = 0.025
HEADER_BYTES = 24 * 2**20
FILE_COPIES = 2
# What an image may cost beside its pixels, and for each of them. The dearest that was found is an
# AVIF with transparency and a profile, at 20.
ALLOWANCE_BYTES = 64 * 2**20
BYTES_A_PIXEL = 24
# libwebp reserves its canvases before their size can be asked for; it does not touch them.
RESERVED_BYTES = 8 * 2 * (Image.MAX_IMAGE_PIXELS or 0)
MAX_TEXT_BYTES = 4 * 2**20
READY = b"ready"
# The first byte of an answer.
PIXELS, REFUSED = b"p", b"r"
REFUSALS: dict[str, type[ServiceError]] = {
    kind.__name__: kind for kind in (ImageTooLarge, InvalidImage, UnsupportedMedia)
}
START_SECONDS = 60.0
# At most so much of what a process wrote to stderr before it was ready is logged.
START_UP_BYTES = 16 * 2**10
END_SECONDS = 1.0


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

    def decode(self, data: bytes, preprocessing: Preprocessing) -> Pixels:
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


def main(descriptor: int) -> None:
    """The process."""
    # The service decides when it is over, and says so by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGVTALRM, _interrupt)
    # The service counts the CPUs that decode; dav1d would start as many threads again.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    # Nobody reads them. Pillow unpacks 64 MB of texts before it has had enough.
    PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT_BYTES
    connection = Connection(descriptor)
    # libtiff writes to stderr about every damaged file, which must not flood the log.
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    with contextlib.suppress(EOFError, ConnectionError):
        connection.send_bytes(READY)
        while True:
            preprocessing, limits, size = connection.recv()
            _allow(size + HEADER_BYTES)
            data = _read(descriptor, size)
            connection.send_bytes(_answer(data, preprocessing, limits))


def _answer(data: bytes, preprocessing: Preprocessing, limits: dict[str, int]) -> bytes:
    try:
        webp = data.startswith(b"WEBP", 8)
        _allow(FILE_COPIES * len(data) + HEADER_BYTES + (RESERVED_BYTES if webp else 0))
        image = images.open_image(data, **limits, bound=_briefly)
        # From here on a file that decodes to more than its header says runs into the limit.
        pixels = image.width * image.height
        _allow(FILE_COPIES * len(data) + ALLOWANCE_BYTES + BYTES_A_PIXEL * pixels)
        return PIXELS + images.render(image, preprocessing, bound=_briefly).tobytes()
    except ServiceError as error:
        refusal = type(error).__name__, str(error)
    except MemoryError:
        refusal = InvalidImage.__name__, "The image needs more memory than its header explains."
    except HeaderTooLong:
        refusal = InvalidImage.__name__, f"Its header takes more than {HEADER_SECONDS} s to read."
    return REFUSED + json.dumps(refusal).encode()


class HeaderTooLong(BaseException):
    """No Exception, for readers catch those and go on."""


@contextlib.contextmanager
def _briefly() -> Iterator[None]:
    """Ends what takes more of the CPU than a header may. By the CPU's time and not
    the clock's: an image is not refused because others are decoded beside it.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, HEADER_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _interrupt(*_: object) -> None:
    raise HeaderTooLong


def _bound_writes(connection: Connection, seconds: float) -> None:
    """Raises BlockingIOError from one that the other end takes nothing of for so long."""
    microseconds = round(1_000_000 * seconds)
    timeout = struct.pack("@ll", *divmod(microseconds, 1_000_000))
    with socket.socket(fileno=os.dup(connection.fileno())) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read(descriptor: int, size: int) -> bytes:
    """Into its place at once: a connection's own message is copied twice, at 20 MB for 40 ms."""
    with open(descriptor, "rb", closefd=False) as file:
        data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _allow(extra_bytes: int) -> None:
    """Lets this process reserve so much more than it has now."""
    if not STATM.exists():
        return
    reserved = int(STATM.read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (reserved + extra_bytes, hard))


if __name__ == "__main__":
    main(int(sys.argv[1]))
