"""The limit on open files: how many connections fit into it, and a listener that survives it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import time
from typing import Any

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 1000
# For the model's files, decoding processes, logs and health probes.
RESERVED = 128
# Of an answer that nobody reads the system keeps twice this; without it, megabytes.
SEND_BUFFER_BYTES = 64 * 1024
# Between two tries to accept a connection without a descriptor.
PAUSE_SECONDS = 0.01


def descriptor_limit() -> int | None:
    """The soft limit on open files; None where there is none or where it can't be read."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def default_max_connections() -> int:
    """1000, or what the limit on open files leaves; at least half of that limit."""
    limit = descriptor_limit()
    if limit is None:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, max(limit - RESERVED, limit // 2)))


def warn_of_limit(max_connections: int) -> None:
    """Logs where so many connections and the process's own files don't fit into the limit."""
    limit = descriptor_limit()
    if limit is not None and max_connections + RESERVED > limit:
        logger.warning(
            "%d connections and %d other descriptors do not fit into the limit of %d open files: "
            "raise it (ulimit -n), or lower RESNET_MAX_CONNECTIONS",
            max_connections,
            RESERVED,
            limit,
        )


class Descriptors:
    """Whether descriptors run out. The system gives the lowest free one, so its number tells.

    margin: how many are left when it begins to count as running out.
    """

    def __init__(self, limit: int | None, margin: int) -> None:
        self.limit = limit
        self._margin = margin if limit is None else min(margin, limit // 4)
        self._low = False

    def low(self, descriptor: int) -> bool:
        """Whether a descriptor that was just given leaves too few."""
        return self.limit is not None and descriptor >= self.limit - self._margin

    def check(self, connections: int) -> None:
        """Logs the begin and the end of a time without descriptors, one line each."""
        low = self.low(self._next())
        if low and not self._low:
            logger.error(
                "Descriptors run out: at most %d of %d are left, with %d connections open. "
                "New connections are refused, except for health probes.",
                self._margin,
                self.limit,
                connections,
            )
        elif self._low and not low:
            logger.warning("There are descriptors again, with %d connections open", connections)
        self._low = low

    def _next(self) -> int:
        try:
            descriptor = os.open(os.devnull, os.O_RDONLY)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            return self.limit or 0
        os.close(descriptor)
        return descriptor


class Listener(socket.socket):
    """Accepts and closes at once what there is no descriptor for, as libuv does.

    Such a connection would stay in the queue: asyncio would call the exception handler for it
    thousands of times a second. uvloop calls libuv instead of `accept`.
    """

    _spare: int | None = None

    @classmethod
    def of(cls, listening: socket.socket) -> Listener:
        """Takes over a socket that listens."""
        listener = cls(fileno=listening.detach())
        # Of the connections, which have it from here.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener._take_spare()
        return listener

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._refuse_one()
            # To asyncio: nothing waits.
            raise BlockingIOError from error

    def close(self) -> None:
        self._release_spare()
        super().close()

    def _refuse_one(self) -> None:
        self._release_spare()
        try:
            refused, _ = super().accept()
        except OSError:
            # Another thread took the spare one. The event loop would come back at once.
            time.sleep(PAUSE_SECONDS)
        else:
            refused.close()
        self._take_spare()

    def _take_spare(self) -> None:
        with contextlib.suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def _release_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
