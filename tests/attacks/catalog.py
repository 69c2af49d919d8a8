"""Every attack, by the name that selects it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.attacks.answer_attacks import ANSWER_ATTACKS
from tests.attacks.attack import EIGHT, Attack
from tests.attacks.attackers import (
    expensive,
    flood,
    http_semantics,
    slow_connections,
    unread,
    uploads,
)
from tests.attacks.attackers.mixture import mixture
from tests.attacks.checks import (
    LIMITED,
    answered,
    counted,
    decoder_failed,
    never,
    rate_limited,
    refused_versions,
)
from tests.attacks.client_attacks import CLIENT_ATTACKS
from tests.attacks.server.disturbances import (
    SHUTDOWN_SECONDS,
    kill_decoders,
    remove_interpreter,
    terminate,
)
from tests.attacks.tensor_attacks import TENSOR_ATTACKS

# The server itself has about 25 open files.
MOST_CONNECTIONS, DESCRIPTORS = 100, 64
# Short enough that the limits apply within a row.
SECONDS = {"REQUEST": "8", "KEEP_ALIVE": "5", "WRITE": "8"}
SHORT = {f"RESNET_{name}_TIMEOUT_SECONDS": value for name, value in SECONDS.items()}
# Longer than the timeouts of headers, bodies and idle connections.
HOLDING, LEAST_HOLDING = 24.0, 22.0
UPLOADING = 16.0  # The link carries 60 bodies in 10 s.
ENDING = {
    "RESNET_SHUTDOWN_TIMEOUT_SECONDS": str(SHUTDOWN_SECONDS),
    "RESNET_DRAIN_SECONDS": "0",
}

ATTACKS: Mapping[str, Attack] = {
    **TENSOR_ATTACKS,
    **ANSWER_ATTACKS,
    **CLIENT_ATTACKS,
    "uploads_raw": Attack("60 bodies a byte short of the limit", uploads.raw, seconds=UPLOADING),
    "uploads_chunked": Attack("60 such bodies, chunked", uploads.chunked, seconds=UPLOADING),
    "uploads_form": Attack("60 forms a byte short of the limit", uploads.form, seconds=UPLOADING),
    # Not behind nginx, which would write all of them to the disk.
    "uploads_many": Attack(
        "60 bodies a byte short of the limit, from each address",
        uploads.raw,
        sources=EIGHT,
        places=("alone",),
        seconds=UPLOADING,
    ),
    "disposition": Attack(
        "forms of 32 parts, 4000 parameters in each Content-Disposition", expensive.disposition
    ),
    "disposition_many": Attack(
        "forms with 4000 parameters in each Content-Disposition, from each address",
        expensive.disposition,
        sources=EIGHT,
    ),
    "part_type": Attack(
        "forms of 32 parts, 4000 parameters in each Content-Type", expensive.part_type
    ),
    "request_type": Attack("4000 parameters in the request's Content-Type", expensive.request_type),
    "images_png": Attack("forms of the most expensive PNGs", expensive.png, images=True),
    "images_jpeg": Attack("forms of the most expensive JPEGs", expensive.jpeg, images=True),
    "images_webp": Attack("forms of the most expensive WebPs", expensive.webp, images=True),
    "images_avif": Attack("forms of the most expensive AVIFs", expensive.avif, images=True),
    "images_many": Attack(
        "forms of the most expensive PNGs, from each address",
        expensive.png,
        sources=EIGHT,
        images=True,
    ),
    "hang_up_image": Attack(
        "4 clients that disconnect after an expensive image", expensive.hang_up, images=True
    ),
    "hang_up_body": Attack("4 clients that disconnect in the middle of a body", uploads.hang_up),
    # nginx answers 404 to it.
    "flood_metrics": Attack("flood of /metrics", flood.metrics, places=("alone",)),
    "flood_models": Attack("flood of /models", flood.models),
    "flood_models_many": Attack("flood of /models, from each address", flood.models, sources=EIGHT),
    "flood_classes": Attack("flood of forms of 32 photos with top_k=1000", flood.many_classes),
    "flood_404": Attack("flood of 404", flood.not_found),
    "flood_keys": Attack(
        "flood of unknown API keys", flood.wrong_keys, key="an-honest-key", checks=never(200)
    ),
    "flood_health": Attack("flood of /health/ready", flood.health),
    "unread_file": Attack(
        "300 clients that do not read 8 files of 1.5 MB",
        unread.static_file,
        environment=SHORT,
        seconds=HOLDING,
        least_seconds=LEAST_HOLDING,
        held=0,
    ),
    "unread_refusals": Attack(
        "pipelined requests whose refusals are not read", unread.refusals, environment=SHORT
    ),
    "unread_answers": Attack(
        "16 clients that do not read responses of 3 MB",
        unread.large_answers,
        environment=SHORT,
        seconds=HOLDING,
        least_seconds=LEAST_HOLDING,
        held=0,
    ),
    "line_breaks": Attack(
        "an empty line on 200 keep-alive connections",
        slow_connections.line_breaks,
        environment=SHORT,
        seconds=HOLDING,
        least_seconds=LEAST_HOLDING,
        held=0,
    ),
    "header_drip": Attack(
        "200 headers, a byte a second",
        slow_connections.header_drip,
        seconds=HOLDING,
        least_seconds=LEAST_HOLDING,
        held=0,
    ),
    "large_header": Attack(
        "headers of 100 KiB in one segment", slow_connections.large_header, checks=never(200)
    ),
    "trickle": Attack(
        "200 bodies, two bytes a second",
        uploads.trickle,
        environment=SHORT,
        seconds=HOLDING,
        least_seconds=LEAST_HOLDING,
        held=0,
    ),
    # nginx closes a connection after 1000 requests.
    "pipelined": Attack(
        "100 to 20 000 pipelined requests, responses read",
        http_semantics.pipelined,
        places=("alone",),
        seconds=HOLDING,
        least_seconds=LEAST_HOLDING,
        checks=answered(200),
    ),
    # nginx takes the half-close for a disconnect.
    "half_closed": Attack(
        "POST and half-close", http_semantics.half_closed, places=("alone",), checks=answered(200)
    ),
    "upgrades": Attack(
        "a request hidden in the body of an upgrade",
        http_semantics.upgrades,
        checks=counted("hidden answered"),
    ),
    "hosts": Attack("no Host, two Hosts", http_semantics.hosts, checks=answered(400)),
    # nginx answers HTTP/0.9.
    "versions": Attack(
        "HTTP/0.9, 2.0 and 9.9",
        http_semantics.versions,
        places=("alone",),
        checks=refused_versions,
    ),
    "connections": Attack(
        "400 connections, RESNET_MAX_CONNECTIONS=100",
        slow_connections.idle,
        environment={"RESNET_MAX_CONNECTIONS": str(MOST_CONNECTIONS)},
        held=MOST_CONNECTIONS,
    ),
    "connections_many": Attack(
        "100 connections from each address, RESNET_MAX_CONNECTIONS=100",
        slow_connections.idle_each,
        sources=EIGHT,
        environment={"RESNET_MAX_CONNECTIONS": str(MOST_CONNECTIONS)},
        held=MOST_CONNECTIONS,
    ),
    "descriptors": Attack(
        f"400 connections, ulimit -n {DESCRIPTORS}",
        slow_connections.idle,
        places=("alone",),
        descriptors=DESCRIPTORS,
    ),
    "decoders_killed": Attack(
        "decoding processes killed with images in them",
        expensive.single,
        disturbance=kill_decoders,
        rule="told",
        places=("alone",),
        images=True,
        quiet_log=False,
    ),
    "decoders_gone": Attack(
        "decoding processes can't be started",
        disturbance=remove_interpreter,
        rule="any",
        places=("alone",),
        own_interpreter=True,
        probed=("live",),
        quiet_log=False,
        checks=decoder_failed,
    ),
    "forwarded_for": Attack(
        "forged X-Forwarded-For against a rate limit",
        flood.forged_addresses,
        environment=LIMITED,
        checks=rate_limited,
    ),
    "forwarded_for_local": Attack(
        "forged X-Forwarded-For from 127.0.0.1",
        flood.forged_addresses,
        sources=("127.0.0.1",),
        places=("alone",),
        environment=LIMITED,
        checks=rate_limited,
    ),
    "queue": Attack("16 connections, forms of 32 photos", flood.photos),
    "queue_many": Attack(
        "4 connections from each address, forms of 8 photos", flood.some_photos, sources=EIGHT
    ),
    "terminated": Attack(
        "SIGTERM under a mixture of attacks",
        mixture,
        disturbance=terminate,
        rule="any",
        places=("alone",),
        environment=ENDING,
        probed=(),
        serves_on=False,
    ),
    "terminated_one": Attack(
        "SIGTERM to one of two replicas under the mixture",
        mixture,
        disturbance=terminate,
        rule="told",
        places=("nginx",),
        environment=ENDING,
        probed=(),
        serves_on=False,
    ),
}
