"""Clients of gRPC: grpcio's own channels, as users configure them."""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from grpc import StatusCode, aio

from service.grpc.protos import inference_pb2 as v2
from tests.e2e.faults.load import ANSWER_SECONDS, BROKEN, Load

INFER = "/inference.GRPCInferenceService/ModelInfer"
MODEL = "resnet50"
PHOTOS = Path(__file__).parents[2] / "photos"
# Batches of other sizes differ in the last bits, other photos in everything.
TOLERANCE = 0.02
# As a client of HTTP would be told.
STATUS = {
    StatusCode.OK: 200,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}
CHANNELS = 4
# docs/clients.md.
RETRIES = {
    "maxAttempts": 4,
    "initialBackoff": "0.2s",
    "maxBackoff": "5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


@dataclass(frozen=True)
class Kind:
    """How a client is configured. config: gRPC's service config."""

    name: str
    config: dict[str, Any]


PLAIN = Kind("plain", {})
RETRYING = Kind("retries UNAVAILABLE", {"methodConfig": [{"name": [{}], "retryPolicy": RETRIES}]})
# Its Watch tells it of a replica that drains.
BALANCING = Kind(
    "round_robin, asks health",
    {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}},
)


@dataclass(frozen=True)
class Asked:
    """A message, and the probabilities that are its answer."""

    sent: bytes
    probabilities: np.ndarray[Any, Any]


class GrpcClients(Load):
    """Some clients with a channel each. ports: of the addresses that each knows.

    wrong: answers with status OK that were another photo's.
    """

    def __init__(self, ports: Sequence[int], kind: Kind, photos: Sequence[Asked]) -> None:
        target = f"ipv4:{','.join(f'127.0.0.1:{port}' for port in ports)}"
        self._channels = [channel_to(target, kind) for _ in range(CHANNELS)]
        self._next = itertools.cycle(channel.unary_unary(INFER) for channel in self._channels)
        self._photos = itertools.cycle(photos)
        self.wrong = 0

    async def exchange(self) -> tuple[int, str]:
        photo = next(self._photos)
        try:
            answer = await next(self._next)(photo.sent, timeout=ANSWER_SECONDS - 5)
        except aio.AioRpcError as error:
            return STATUS.get(error.code(), BROKEN), f"{error.code().name} {error.details()}"
        got = probabilities_of(answer)
        if np.allclose(got, photo.probabilities, rtol=0, atol=TOLERANCE):
            return 200, ""
        self.wrong += 1
        right = photo.probabilities
        return 200, (
            f"class {got.argmax()} with {got.max():.3f} in place of {right.argmax()} with "
            f"{right.max():.3f}"
        )

    def close(self) -> None:
        for channel in self._channels:
            self._closing = asyncio.ensure_future(channel.close())


def channel_to(target: str, kind: Kind) -> aio.Channel:
    options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
    if kind.config:
        options.append(("grpc.service_config", json.dumps(kind.config)))
    return aio.insecure_channel(target, options=options)


async def asked_of(port: int) -> list[Asked]:
    """Each of the photos, with the answer of the replica at this port."""
    found = []
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for path in sorted(PHOTOS.glob("*.jpg")):
            photo = path.read_bytes()
            request = v2.ModelInferRequest(model_name=MODEL)
            request.inputs.add(name="image", datatype="BYTES", shape=[1])
            request.raw_input_contents.append(struct.pack("<I", len(photo)) + photo)
            sent = request.SerializeToString()
            answer = await channel.unary_unary(INFER)(sent, timeout=ANSWER_SECONDS)
            found.append(Asked(sent, probabilities_of(answer)))
    return found


def probabilities_of(answer: bytes) -> np.ndarray[Any, Any]:
    (raw,) = v2.ModelInferResponse.FromString(answer).raw_output_contents
    return np.frombuffer(raw, "<f4")
