"""The process that decoding processes are forked from: to start Python for each takes 0.2 s of a
CPU, a fork 9 ms with its first image.

`python -m service.imaging.fork_server N` starts it; N is the file descriptor of its end of the
socket. `service.imaging.fork_server_client` is the service's end.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import struct
import sys
from pathlib import Path

from service.imaging import sandbox

READY = b"ready"
# A request: FORK with the niceness of a process and the file descriptor of its end of a socket, or
# END with a process id. An answer: an error's number or 0, and the process id or exit status.
FORK, END = range(2)
OOM_SCORE = Path("/proc/self/oom_score_adj")
# In thousandths of the memory that there is.
MORE_OOM_SCORE = 500
REQUEST, ANSWER = struct.Struct("=Bi"), struct.Struct("=ii")


def main(descriptor: int) -> None:
    """The process."""
    # With those that it forks it is a group, which is ended as one.
    os.setpgid(0, 0)
    sandbox.prepare()
    gc.collect()
    # Pages that the collector does not touch stay shared.
    gc.freeze()
    control = socket.socket(fileno=descriptor)
    with contextlib.suppress(ConnectionError):
        control.sendall(READY)
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, 1)
            if len(message) < REQUEST.size:
                break
            asked, argument = REQUEST.unpack(message)
            control.sendall(_answer(control, asked, argument, descriptors))
    # The service has ended, however that was.
    os.killpg(0, signal.SIGKILL)


def _answer(control: socket.socket, asked: int, argument: int, descriptors: list[int]) -> bytes:
    try:
        value = _fork(control, argument, descriptors[0]) if asked == FORK else _end(argument)
    except OSError as error:
        return ANSWER.pack(error.errno or -1, 0)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return ANSWER.pack(0, value)


def _fork(control: socket.socket, niceness: int, descriptor: int) -> int:
    if pid := os.fork():
        return pid
    status = 1
    try:
        control.close()
        os.nice(niceness)
        _offer_to_the_memory_killer()
        sandbox.serve(descriptor)
        status = 0
    finally:
        os._exit(status)


def _offer_to_the_memory_killer() -> None:
    """Rather than the service, which would lose every request."""
    with contextlib.suppress(OSError):
        score = int(OOM_SCORE.read_text())
        OOM_SCORE.write_text(str(min(1000, score + MORE_OOM_SCORE)))


def _end(pid: int) -> int:
    """Its exit status, a signal's number negative: its own, where it has ended already."""
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
