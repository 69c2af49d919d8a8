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
# A connection is then asked to end, and cut off after the second time: a client moves to whatever
# replicas there are, and what it never took is freed.
MAX_AGE_MS, MAX_AGE_GRACE_MS = 3_600_000, 600_000
LOOKAHEAD_BYTES = 64 * 1024
# Calls that are handled at once, shared between clients; and of those, health and reflection.
MAX_CALLS, MAX_MONITORING_CALLS = 1000, 256
# gRPC's own limit. It counts those that were answered, too, until the client has taken the answer.
MAX_OPEN_CALLS = 4096


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
        ("grpc.max_connection_age_ms", MAX_AGE_MS),
        ("grpc.max_connection_age_grace_ms", MAX_AGE_GRACE_MS),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
        ("grpc.keepalive_time_ms", PING_AFTER_MS),
        ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.http2.max_ping_strikes", MAX_PING_STRIKES),
        # Of a message that nobody receives yet, so much is taken; by default more than a megabyte.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        # A port in use is an error, but for the other workers.
        ("grpc.so_reuseport", int(http.workers != 1)),
    ]
