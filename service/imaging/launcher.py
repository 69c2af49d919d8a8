"""Starts and ends decoding processes, and the fork server that they come from."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from service.errors import DecoderFailed, ShuttingDown
from service.imaging.fork_server_client import ForkedProcess, ForkServer, ForkServerLost

logger = logging.getLogger(__name__)

# After a failure nothing is tried for so long, and no thread waits for it.
RETRY_SECONDS = 0.5
PROBLEM = "No decoding process can be started."


class Launcher:
    """One fork server, started when it is first needed and again after it was lost.

    observe_failure: told "start" for each attempt that failed. For any thread.
    """

    def __init__(self, observe_failure: Callable[[str], object] = lambda _: None) -> None:
        self._observe_failure = observe_failure
        self._lock = threading.Lock()
        self._server: ForkServer | None = None
        self._closed = False
        self._failing = False
        self._reason = ""
        self._retry_at = 0.0

    @property
    def problem(self) -> str | None:
        """What readiness says; None where the last process that was wanted could be started."""
        return PROBLEM if self._failing else None

    def launch(self, niceness: int = 0) -> ForkedProcess:
        """Raises DecoderFailed, and ShuttingDown after `close`."""
        with self._lock:
            self._check_open()
            if time.monotonic() < self._retry_at:
                raise DecoderFailed(PROBLEM)
            try:
                process = self._fork(niceness)
            except (OSError, ForkServerLost) as error:
                self._check_open()
                self._fail(str(error))
                raise DecoderFailed(PROBLEM) from error
            if self._failing:
                logger.info("Decoding processes can be started again")
            self._failing, self._reason = False, ""
            return process

    def end(self, process: ForkedProcess) -> int | None:
        """Its exit status, a signal's number negative; None where the fork server was lost too."""
        try:
            # Without the lock: its holder may be waiting for a new fork server.
            return self._end(process) if process.server is self._server else None
        finally:
            process.close()

    def check(self) -> None:
        """Finds out whether a process can be started: launches one, and ends it."""
        with contextlib.suppress(DecoderFailed, ShuttingDown):
            self.end(self.launch())

    def close(self) -> None:
        """Ends every process; a thread that waits for one finds out."""
        self._closed = True
        # At once, for a thread may hold the lock while it waits for it.
        if (server := self._server) is not None:
            server.kill()
        with self._lock:
            self._drop()

    def _fork(self, niceness: int) -> ForkedProcess:
        if self._server is not None:
            try:
                return self._server.fork(niceness)
            except ForkServerLost as error:
                logger.warning("%s", error)
                self._drop()
        self._server = ForkServer()
        try:
            # Or `close` may have come before there was one to kill.
            self._check_open()
            self._server.wait_until_ready()
            return self._server.fork(niceness)
        except (ForkServerLost, ShuttingDown):
            self._drop()
            raise

    def _end(self, process: ForkedProcess) -> int | None:
        with self._lock:
            # Meanwhile another thread may have found that it was lost.
            if process.server is self._server:
                try:
                    return process.server.end(process.pid)
                except (ForkServerLost, OSError) as error:
                    logger.warning("%s", error)
                    self._drop()
        return None

    def _drop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ShuttingDown("The service is shutting down.")

    def _fail(self, reason: str) -> None:
        self._observe_failure("start")
        # One line for each reason, not for each image.
        if reason != self._reason:
            logger.error("%s %s", PROBLEM, reason)
        self._failing, self._reason = True, reason
        self._retry_at = time.monotonic() + RETRY_SECONDS
