"""The service's end of one fork server (`service.imaging.fork_server`)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

from service.imaging.fork_server import ANSWER, END, FORK, READY, REQUEST

START_SECONDS = 60.0
# To fork or end a process, on a machine that has much else to do.
ANSWER_SECONDS = 10.0
# The log takes at most so many bytes of what the process wrote to stderr before it was ready.
START_UP_BYTES = 16 * 2**10


class ForkServerLost(Exception):
    """It has ended, or does not answer. The message says how, and what it wrote to stderr."""


class ForkServer:
    """A process that was started and may not be ready yet. `kill` alone is for any thread."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._lock = threading.Lock()
        with contextlib.ExitStack() as stack:
            self._control, theirs = socket.socketpair()
            stack.callback(self._control.close)
            with theirs:
                self._start_up, stderr = os.pipe()
                stack.callback(os.close, self._start_up)
                with open(stderr, "wb"):
                    # A process that fills the pipe loses the rest of its text; it must not block.
                    os.set_blocking(stderr, False)
                    os.set_blocking(self._start_up, False)
                    self._process = _start(theirs.fileno(), stderr)
            self._resources = stack.pop_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Raises ForkServerLost."""
        if self._receive(len(READY), START_SECONDS) != READY:
            raise self._lost("The process that decoders are forked from did not start")

    def fork(self, niceness: int) -> ForkedProcess:
        """Raises OSError where there is no memory, process or descriptor left; ForkServerLost."""
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as stack:
            stack.enter_context(ours)
            with theirs:
                pid = self._ask(FORK, niceness, theirs.fileno())
            stack.pop_all()
        return ForkedProcess(pid, ours, self)

    def end(self, pid: int) -> int:
        """Its exit status, a signal's number negative. Raises OSError or ForkServerLost."""
        return self._ask(END, pid)

    def kill(self) -> None:
        """With all that it forked."""
        with self._lock:
            # Once it was waited for, another process may have its number.
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.kill()

    def close(self) -> int:
        """Kills them all. Its exit status."""
        self.kill()
        self._resources.close()
        with self._lock:
            status = self._process.wait()
        # Where the service is a container's first process, they are its children now.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-self._process.pid, 0)
        return status

    def _ask(self, what: int, argument: int, *descriptors: int) -> int:
        try:
            self._control.settimeout(ANSWER_SECONDS)
            request = REQUEST.pack(what, argument)
            if descriptors:
                socket.send_fds(self._control, [request], list(descriptors))
            else:
                self._control.sendall(request)
        except (ConnectionError, TimeoutError):
            raise self._lost("The process that decoders are forked from has ended") from None
        answer = self._receive(ANSWER.size, ANSWER_SECONDS)
        if len(answer) < ANSWER.size:
            raise self._lost("The process that decoders are forked from gave no answer")
        error, value = ANSWER.unpack(answer)
        if error:
            raise OSError(error, os.strerror(error))
        return int(value)

    def _receive(self, size: int, seconds: float) -> bytes:
        """Less where nothing comes in time, or the process has ended."""
        self._control.settimeout(seconds)
        try:
            return self._control.recv(size)
        except (ConnectionError, TimeoutError):
            return b""

    def _lost(self, what: str) -> ForkServerLost:
        with open(os.dup(self._start_up), "rb", buffering=0) as pipe:
            # None or nothing where the process wrote nothing.
            written = pipe.read(START_UP_BYTES) or b""
        status = self.close()
        text = written.decode(errors="replace").strip()
        return ForkServerLost(f"{what}; its status is {status}. {text}".strip())


def _start(descriptor: int, stderr: int) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(folder for folder in sys.path if folder)
    return subprocess.Popen(
        [sys.executable, "-m", "service.imaging.fork_server", str(descriptor)],
        pass_fds=[descriptor],
        # A process with threads must not fork: a lock that one of them holds stays locked.
        env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # The process itself discards its stderr once it is ready.
        stderr=stderr,
    )


class ForkedProcess:
    """A process of a fork server, and the service's end of the socket to it."""

    def __init__(self, pid: int, connection: socket.socket, server: ForkServer) -> None:
        self.pid = pid
        self.connection = connection
        self.server = server
        self._lock = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether it waits for a task."""
        self.connection.settimeout(0)
        try:
            # Nothing where it has ended; else what nobody asked for.
            self.connection.recv(1)
        except BlockingIOError:
            return True
        except ConnectionError:
            pass
        return False

    def interrupt(self) -> None:
        """From any thread; the one that waits for its answer finds that it has ended."""
        with self._lock, contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            self.connection.close()
