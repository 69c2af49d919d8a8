"""A port that several processes listen on, each with a socket of its own (SO_REUSEPORT).

Of one socket for all, the worker that wakes first would take every connection that waits; with one
each, the system divides them by their addresses.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, SupportsIndex

from service.http.connection.descriptors import SEND_BUFFER_BYTES, descriptor_limit

# Above those of connections. Linux closes what a killed process had open from the highest number
# down: the port first, or a client that lost its connection might reach the same worker again.
PORT_DESCRIPTOR = 8192
# Below the limit on open files, for as many ports.
PORTS = 16


class SharedPort(socket.socket):
    """A bound socket. It gets connections once it listens.

    Pickled for another process, it becomes another socket there, bound to the same port.
    """

    @classmethod
    def bound_to(cls, host: str, port: int) -> SharedPort:
        """port: 0 selects a free one. Raises OSError where another program has the port."""
        bound = cls(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # Of the connections, which have it from here.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            bound.bind((host, port))
            return bound._moved()
        finally:
            bound.close()

    def _moved(self) -> SharedPort:
        """The same socket with another number; this one is to be closed."""
        import fcntl  # Not on Windows, which has no SO_REUSEPORT either.

        number = min(descriptor_limit() or PORT_DESCRIPTOR, PORT_DESCRIPTOR) - PORTS
        return SharedPort(fileno=fcntl.fcntl(self.fileno(), fcntl.F_DUPFD_CLOEXEC, number))

    def __reduce_ex__(
        self, protocol: SupportsIndex
    ) -> tuple[Callable[[str, int], SharedPort], tuple[Any, ...]]:
        return SharedPort.bound_to, self.getsockname()[:2]
