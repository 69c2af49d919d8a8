"""The process that decodes images: a file that crashes or exhausts it leaves the service running.

`service.imaging.fork_server` forks it; `service.imaging.decoder_process` is the service's end.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from PIL import AvifImagePlugin, Image, PngImagePlugin

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import (
    ImageTooLarge,
    InvalidImage,
    ServiceError,
    UnsupportedMedia,
)
from service.imaging import decoder as images

STATM = Path("/proc/self/statm")
# What reading a header may take: CPU time, and memory beside the copies that readers make of the
# file. Pillow reads headers in Python, which a signal interrupts.
HEADER_SECONDS = 0.025
HEADER_BYTES = 24 * 2**20
FILE_COPIES = 2
# Memory that an image may take beside its pixels, and for each of them. The most that was measured
# is 20 bytes a pixel, for an AVIF with transparency and a profile.
ALLOWANCE_BYTES = 64 * 2**20
BYTES_A_PIXEL = 24
# libwebp reserves address space for its canvases before their size is known, and does not use it.
RESERVED_BYTES = 8 * 2 * (Image.MAX_IMAGE_PIXELS or 0)
MAX_TEXT_BYTES = 4 * 2**20
# The exit status of a process that an image takes too long.
OUT_OF_TIME = -signal.SIGPROF
# Before a pickled task, and before an answer: its bytes.
LENGTH = struct.Struct("=Q")
SIZE = struct.Struct("=QQ")
# The first byte of an answer. Its pixels come with how many the whole image has, and with its
# width and height, upright.
PIXELS, REFUSED, LARGER = b"p", b"r", b"l"
REFUSALS: dict[str, type[ServiceError]] = {
    kind.__name__: kind for kind in (ImageTooLarge, InvalidImage, UnsupportedMedia)
}


class Task(NamedTuple):
    """What precedes an image's bytes.

    expected_pixels: a larger one is not decoded; 0: any is. cpu_seconds: then the process ends,
    with OUT_OF_TIME.
    """

    preprocessing: Preprocessing
    limits: dict[str, int]
    expected_pixels: int
    cpu_seconds: float
    file_bytes: int


def prepare() -> None:
    """Once in the process that the others are forked from."""
    # The service decides when it is over, and says so by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGVTALRM, _interrupt)
    # The service counts the CPUs that decode; dav1d would start as many threads again.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    # The service reads no texts; Pillow would unpack 64 MB of them.
    PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT_BYTES
    # libtiff writes to stderr about every damaged file, which must not flood the log.
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())


def serve(descriptor: int) -> None:
    """Decodes what comes through the socket, until the service closes it."""
    connection = socket.socket(fileno=descriptor)
    with contextlib.suppress(EOFError, ConnectionError), connection.makefile("rb") as file:
        while True:
            (length,) = LENGTH.unpack(_read(file, LENGTH.size))
            task: Task = pickle.loads(_read(file, length))
            _allow(task.file_bytes + HEADER_BYTES)
            data = _read(file, task.file_bytes)
            # By the CPU's time, as for a header; and no handler, for decoders run none.
            signal.setitimer(signal.ITIMER_PROF, task.cpu_seconds)
            answer = _answer(data, task)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.sendall(LENGTH.pack(len(answer)) + answer)


def _answer(data: bytes, task: Task) -> bytes:
    try:
        webp = data.startswith(b"WEBP", 8)
        _allow(FILE_COPIES * len(data) + HEADER_BYTES + (RESERVED_BYTES if webp else 0))
        image = images.open_image(data, **task.limits, bound=_briefly)
        pixels = image.width * image.height
        if pixels > task.expected_pixels > 0:
            return LARGER + LENGTH.pack(pixels)
        # From here on a file that decodes to more than its header says runs into the limit.
        _allow(FILE_COPIES * len(data) + ALLOWANCE_BYTES + BYTES_A_PIXEL * pixels)
        rendered = images.render(image, task.preprocessing, bound=_briefly)
        size = SIZE.pack(rendered.width, rendered.height)
        return PIXELS + LENGTH.pack(pixels) + size + rendered.pixels.tobytes()
    except ServiceError as error:
        refusal = type(error).__name__, str(error)
    except MemoryError:
        refusal = InvalidImage.__name__, "The image needs more memory than its header explains."
    except HeaderTooLong:
        refusal = InvalidImage.__name__, f"Its header takes more than {HEADER_SECONDS} s to read."
    return REFUSED + json.dumps(refusal).encode()


class HeaderTooLong(BaseException):
    """Not an Exception: Pillow's readers catch those and continue."""


@contextlib.contextmanager
def _briefly() -> Iterator[None]:
    """Raises HeaderTooLong after HEADER_SECONDS of CPU time. Wall-clock time would refuse an image
    because others are decoded at the same time.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, HEADER_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _interrupt(*_: object) -> None:
    raise HeaderTooLong


def _read(file: BufferedReader, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _allow(extra_bytes: int) -> None:
    """Limits the process's address space to `extra_bytes` more than now, where there is /proc."""
    if not STATM.exists():
        return
    reserved = int(STATM.read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (reserved + extra_bytes, hard))
