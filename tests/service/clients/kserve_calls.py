"""KServe's clients, run by the Python of their own environment.

kserve_calls.py HTTP_PORT GRPC_PORT MODEL PHOTO SIZE
"""

from __future__ import annotations

import asyncio
import base64
import sys
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

HTTP, GRPC, MODEL, PHOTO, SIZE = sys.argv[1:]
BASE = f"http://127.0.0.1:{HTTP}"
with open(PHOTO, "rb") as file:
    DATA = file.read()


def pixels(*, binary: bool) -> InferInput:
    shape = [1, int(SIZE), int(SIZE), 3]
    tensor = InferInput("pixels", shape, "UINT8")
    tensor.set_data_from_numpy(np.full(shape, 200, np.uint8), binary_data=binary)
    return tensor


def image() -> InferInput:
    tensor = InferInput("image", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[DATA]], dtype=np.object_), binary_data=True)
    return tensor


def bits(answer: Any) -> bytes:
    return np.asarray(answer.outputs[0].as_numpy(), np.float32).tobytes()


async def rest() -> bytes:
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    assert await client.is_server_live(BASE)
    assert await client.is_server_ready(BASE)
    assert await client.is_model_ready(BASE, MODEL)
    assert not await client.is_model_ready(BASE, "nope")
    found = bits(await client.infer(BASE, InferRequest(MODEL, [image()]), model_name=MODEL))
    assert await client.infer(BASE, InferRequest(MODEL, [pixels(binary=True)]), model_name=MODEL)
    await client.close()
    v1 = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    assert await v1.is_model_ready(BASE, MODEL)
    body = {"instances": [{"image": {"b64": base64.b64encode(DATA).decode()}}]}
    (row,) = (await v1.infer(BASE, body, model_name=MODEL))["predictions"]
    assert np.array(row, np.float32).tobytes() == found
    await v1.close()
    return found


async def calls() -> None:
    expected = await rest()
    client = InferenceGRPCClient(f"127.0.0.1:{GRPC}", retries=0)
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready(MODEL)
    assert not await client.is_model_ready("nope")
    typed = InferInput("image", [1, 1], "BYTES", data=[DATA])
    for tensor in (image(), typed):
        assert bits(await client.infer(InferRequest(MODEL, [tensor]))) == expected
    ways = [
        bits(await client.infer(InferRequest(MODEL, [pixels(binary=binary)])))
        for binary in (True, False)
    ]
    assert ways[0] == ways[1]
    try:
        await client.infer(InferRequest("nope", [typed]))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017
    else:
        raise AssertionError("An unknown model was answered.")
    await client.close()


asyncio.run(calls())
