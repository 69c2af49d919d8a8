"""The rows of clients with many names, of clients that read slowly, and of gRPC."""

from __future__ import annotations

from collections.abc import Mapping

from tests.attacks.attack import Attack
from tests.attacks.attackers import flood, grpc_calls, unread
from tests.attacks.checks import LIMITED, never, rate_limited

SHORT = {"RESNET_WRITE_TIMEOUT_SECONDS": "8"}
HOLDING, LEAST_HOLDING = 24.0, 22.0

CLIENT_ATTACKS: Mapping[str, Attack] = {
    "queue_keys": Attack(
        "16 connections, forms of 32 photos, with 32 keys of one client",
        flood.photos_of_keys,
        key="an-honest-key",
        attacker_keys=flood.KEYS,
    ),
    "forwarded_network": Attack(
        "addresses of one IPv6 network, passed on by a trusted proxy, against a rate limit",
        flood.forged_of_one_network,
        places=("alone",),
        environment={**LIMITED, "RESNET_TRUSTED_PROXIES": "127.0.0.2"},
        checks=rate_limited,
    ),
    "unread_many": Attack(
        "100 clients that do not read responses of 3 MB",
        unread.many_large_answers,
        seconds=HOLDING,
        environment=SHORT,
    ),
    "slowly_read": Attack(
        "100 clients of HTTP/1.0 that read a file of 1.5 MB at 4 KB a second",
        unread.slowly_read,
        environment=SHORT,
        seconds=HOLDING,
        least_seconds=LEAST_HOLDING,
        held=0,
    ),
    "grpc_small": Attack(
        "8 channels of gRPC, calls of ServerLive", grpc_calls.small, places=("alone",), grpc=True
    ),
    "grpc_large": Attack(
        "8 channels of gRPC, messages as large as a body",
        grpc_calls.large,
        places=("alone",),
        grpc=True,
        checks=never(200),
    ),
    "grpc_photos": Attack(
        "8 channels of gRPC, 32 photos a call", grpc_calls.photos, places=("alone",), grpc=True
    ),
}
