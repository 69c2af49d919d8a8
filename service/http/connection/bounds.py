"""The limits of one connection and of all of them together."""

from __future__ import annotations

from dataclasses import dataclass

from service.http.connection.descriptors import default_max_connections
from service.settings import Settings

GRPC_PARTS = 4
# Of RESNET_MAX_CONNECTIONS an eighth is kept for health probes, and no more than 32.
PROBE_PARTS, MAX_PROBE_CONNECTIONS = 8, 32


@dataclass(frozen=True)
class Bounds:
    """Times in seconds.

    header_timeout: for a header, from its first byte; for a connection's first byte; and for the
    rest of a body whose response was sent. keep_alive_timeout: without a request. write_timeout:
    without the client taking a byte of what it is sent. linger: how long what a client still sends
    is dropped after a refusal, for a connection closed at once would lose the refusal.
    max_header_bytes: of a header, and of a chunked body's trailers.
    max_connections: at once. probe_connections: beyond those, kept for health probes. Both
    together are RESNET_MAX_CONNECTIONS, less those of gRPC.
    """

    max_connections: int
    keep_alive_timeout: float = 75.0
    write_timeout: float = 30.0
    header_timeout: float = 10.0
    linger: float = 2.0
    max_header_bytes: int = 64 * 1024
    probe_connections: int = MAX_PROBE_CONNECTIONS

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        http = settings.http
        connections = http.max_connections or default_max_connections()
        if settings.grpc.grpc_port is not None:
            connections -= grpc_connections(settings)
        probes = max(1, min(connections // PROBE_PARTS, MAX_PROBE_CONNECTIONS))
        return cls(
            max_connections=max(1, connections - probes),
            probe_connections=probes,
            keep_alive_timeout=http.keep_alive_timeout_seconds,
            write_timeout=http.write_timeout_seconds,
        )

    @property
    def poll_seconds(self) -> float:
        """How often the times are checked."""
        times = (self.keep_alive_timeout, self.write_timeout, self.header_timeout, self.linger)
        return min(1.0, min(times) / 4)


def grpc_connections(settings: Settings) -> int:
    """The connections of gRPC: one has many calls.

    A part of RESNET_MAX_CONNECTIONS and of what the limit on open files allows: gRPC would take the
    last descriptor, also from probes of HTTP.
    """
    possible = default_max_connections()
    return max(1, min(settings.http.max_connections or possible, possible) // GRPC_PARTS)
