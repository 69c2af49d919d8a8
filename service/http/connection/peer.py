"""Whether a client takes what it is sent, and whether one that ended its side is still there."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

# struct tcp_info, Linux 4.1 and later: tcpi_bytes_acked.
ACKED = struct.Struct("=Q")
ACKED_OFFSET = 120
TCP_INFO_BYTES = ACKED_OFFSET + ACKED.size
INT = struct.Struct("=i")
# An interim response, which every HTTP/1.1 client knows: what has left answers it with a reset.
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PROBE_SECONDS = 0.05
# A client that takes less than this, or than what waits, makes no progress.
LEAST_BYTES = 64 * 1024


class WriteProgress:
    """How long the client has taken next to nothing, where something waits to be sent."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        # What it had taken at `_since`, and how much more is progress.
        self._mark: int | None = None
        self._since, self._due = 0.0, 0

    def stalled_seconds(self, now: float) -> float:
        """now: the event loop's time. What the system still has to send counts, too."""
        waiting = self._transport.get_write_buffer_size() + _queued_bytes(self._socket)
        if not waiting:
            self._mark = None
            return 0.0
        mark = _acknowledged_bytes(self._socket)
        if mark is None:
            mark = -waiting
        if self._mark is None or mark - self._mark >= self._due:
            self._mark, self._since, self._due = mark, now, min(waiting, LEAST_BYTES)
        return now - self._since


def probe(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
    """Ends the connection of a peer that has left.

    A peer that ended only its own side looks the same until it is sent something.
    """
    transport.write(CONTINUE)
    loop.call_later(PROBE_SECONDS, abort_if_gone, transport)


def abort_if_gone(transport: asyncio.Transport) -> None:
    """Ends the connection where the peer has reset it and the event loop has not noticed."""
    if transport.is_closing():
        return
    sock = transport.get_extra_info("socket")
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        transport.abort()


if sys.platform == "linux":
    import fcntl
    import termios

    def _queued_bytes(sock: socket.socket) -> int:
        """What the system has not sent, or the peer not acknowledged."""
        try:
            queued: int = INT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        except OSError:
            return 0
        return queued

    def _acknowledged_bytes(sock: socket.socket) -> int | None:
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
            acknowledged: int = ACKED.unpack_from(info, ACKED_OFFSET)[0]
        except (OSError, struct.error):
            return None
        return acknowledged

else:

    def _queued_bytes(sock: socket.socket) -> int:  # noqa: ARG001
        return 0

    def _acknowledged_bytes(sock: socket.socket) -> int | None:  # noqa: ARG001
        return None
