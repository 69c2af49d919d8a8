"""Floods by clients of gRPC, as its own library sends them."""

from __future__ import annotations

import asyncio

from tests.attacks.attackers.config import AttackerConfig, Findings, run_until_end

CHANNELS = 8
LIVE = "/inference.GRPCInferenceService/ServerLive"
INFER = "/inference.GRPCInferenceService/ModelInfer"
# As HTTP says it.
STATUSES = {"OK": 200, "RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}
OTHER_STATUS = 400


async def small(config: AttackerConfig) -> Findings:
    return await _flood(config, LIVE, b"")


async def large(config: AttackerConfig) -> Findings:
    """Messages as large as one may be, of which nothing is an image."""
    return await _flood(config, INFER, _infer([bytes(config.body_bytes - 2**16)]))


async def photos(config: AttackerConfig) -> Findings:
    """32 photos in each call."""
    return await _flood(config, INFER, _infer([config.photo] * 32))


def _infer(images: list[bytes]) -> bytes:
    from service.grpc.protos import inference_pb2 as v2
    from service.protocols.bytes_tensor import join_elements

    request = v2.ModelInferRequest(model_name="resnet50")
    request.inputs.add(name="image", datatype="BYTES", shape=[len(images)])
    request.raw_input_contents.append(join_elements(images))
    return bytes(request.SerializeToString())


async def _flood(config: AttackerConfig, method: str, message: bytes) -> Findings:
    # Not at the top: the other attackers do without.
    from grpc import aio

    seen = Findings()

    async def client(number: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("client", number)]
        async with aio.insecure_channel(f"127.0.0.1:{config.grpc_port}", options) as channel:
            call = channel.unary_unary(method)
            while True:
                # The library sends a message at once; the next one waits until it is carried.
                await config.link.carry(len(message))
                try:
                    await call(message, timeout=30)
                    seen.statuses[200] += 1
                except aio.AioRpcError as error:
                    seen.statuses[STATUSES.get(error.code().name, OTHER_STATUS)] += 1
                    await asyncio.sleep(0.01)

    await run_until_end(config, *(client(number) for number in range(CHANNELS)))
    return seen
