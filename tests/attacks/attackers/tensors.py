"""Requests of the tensor protocols that are as large, as deep or as many as they can be."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import struct

from tests.attacks.attackers.config import AttackerConfig, Findings
from tests.attacks.attackers.flood import CONNECTIONS, IMAGES, flood

# The default checkpoint of the depth, whatever its name.
INFER = "/v2/models/resnet50/infer"
PREDICT = "/v1/models/resnet50:predict"
# Each holds its body at the server.
LARGE = 4
LENGTH = struct.Struct("<I")


def post_to(path: str, body: bytes, *headers: bytes) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1".encode(),
        b"Host: test",
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def binary_infer(count: int, raw: bytes, size: int | None = None) -> bytes:
    """`count` images as binary elements. size: what the JSON says of their bytes."""
    parameters = {"binary_data_size": len(raw) if size is None else size}
    tensor = {"name": "image", "datatype": "BYTES", "shape": [count], "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    return post_to(INFER, head + raw, b"Inference-Header-Content-Length: %d" % len(head))


async def binary(config: AttackerConfig) -> Findings:
    """In turn: one image of as many bytes as a body may have, 32 images that end with the body,
    and an image that claims four gigabytes."""
    room = config.body_bytes - 1000
    each = room // IMAGES - LENGTH.size
    requests = itertools.cycle(
        [
            binary_infer(1, LENGTH.pack(room - LENGTH.size) + bytes(room - LENGTH.size)),
            binary_infer(IMAGES, (LENGTH.pack(each) + bytes(each)) * IMAGES),
            binary_infer(IMAGES, LENGTH.pack(2**32 - 1) + bytes(room), 2**63),
        ]
    )
    return await flood(config, lambda: next(requests), LARGE)


async def inflate(config: AttackerConfig) -> Findings:
    """In turn: a body that is a byte too large once inflated, and one that just fits."""
    requests = itertools.cycle(
        post_to(path, gzip.compress(bytes(size)), b"Content-Encoding: gzip")
        for size in (config.body_bytes + 1, config.body_bytes)
        for path in (INFER, PREDICT)
    )
    return await flood(config, lambda: next(requests), CONNECTIONS)


async def depth(config: AttackerConfig) -> Findings:
    """In turn: brackets up to the limit of the body, and as many as JSON beside images may have."""
    arrays, objects = b"[" * (config.body_bytes - 1), b'{"a":' * 6000
    requests = itertools.cycle(
        post_to(path, body) for body in (arrays, objects) for path in (INFER, PREDICT)
    )
    return await flood(config, lambda: next(requests), LARGE)


async def instances(config: AttackerConfig) -> Findings:
    """In turn: as many empty images as fit into a body, and twice as many photos as are taken."""
    empty = b'{"b64":""},'
    photo = b'{"b64":"%b"},' % base64.b64encode(config.photo)
    room = config.body_bytes - 1000
    requests = itertools.cycle(
        post_to(PREDICT, b'{"instances":[' + one * count + b'{"b64":""}]}')
        for one, count in (
            (empty, room // len(empty)),
            (photo, min(2 * IMAGES, room // len(photo))),
        )
    )
    return await flood(config, lambda: next(requests), LARGE)


async def images(config: AttackerConfig) -> Findings:
    """32 photos a request in base64, which are answered as far as there is room."""
    photo = {"b64": base64.b64encode(config.photo).decode()}
    body = json.dumps({"instances": [photo] * IMAGES}).encode()
    return await flood(config, post_to(PREDICT, body), CONNECTIONS)
