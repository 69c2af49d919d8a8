"""The limits that gRPC itself holds, of messages, connections and calls."""

from __future__ import annotations

from service.settings import Settings

# Open calls of one connection.
MAX_STREAMS_OF_A_CONNECTION = 128
# Of all metadata of a call.
MAX_METADATA_BYTES = 16 * 1024
# A peer that is silent is asked for a sign of life, and left without one.
PING_AFTER_MS, PING_TIMEOUT_MS = 60_000, 20_000
# A client may ping as often; the third time that it is quicker its connection is closed.
MIN_PING_INTERVAL_MS = 10_000
MAX_PING_STRIKES = 2
HANDSHAKE_TIMEOUT_MS = 10_000
# Calls beyond MAX_CALLS, for health.
HEALTH_CALLS = 64
MAX_CALLS = 1000


def options_of(settings: Settings, max_connections: int) -> list[tuple[str, int]]:
    """Channel arguments of the server."""
    http = settings.http
    return [
        ("grpc.max_receive_message_length", settings.limits.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", MAX_STREAMS_OF_A_CONNECTION),
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.max_connection_idle_ms", http.keep_alive_timeout_seconds * 1000),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
        ("grpc.keepalive_time_ms", PING_AFTER_MS),
        ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.http2.max_ping_strikes", MAX_PING_STRIKES),
        # A port in use is an error.
        ("grpc.so_reuseport", 0),
    ]
