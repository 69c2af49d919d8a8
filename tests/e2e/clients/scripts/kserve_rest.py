"""KServe's REST clients of both protocols: URL MODEL PHOTO PIXELS."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
from collections.abc import Awaitable
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

URL, MODEL = sys.argv[1:3]
with open(sys.argv[3], "rb") as file:
    PHOTO = file.read()
TEXT = base64.b64encode(PHOTO).decode()
PIXELS = np.load(sys.argv[4])


def pixels() -> Any:
    tensor = InferInput("pixels", list(PIXELS.shape), "UINT8")
    tensor.set_data_from_numpy(PIXELS, binary_data=True)
    return tensor


def encoded() -> Any:
    tensor = InferInput("image", [2, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[PHOTO]] * 2, dtype=np.object_), binary_data=True)
    return tensor


def classes(response: Any) -> list[int]:
    (output,) = response.outputs
    return [int(row.argmax()) for row in output.as_numpy().reshape(output.shape)]


async def error_of(call: Awaitable[object]) -> str:
    try:
        await call
    except httpx.HTTPStatusError as error:
        return str(error)
    return "no error"


async def v2() -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    tensor = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "data": [TEXT]}
    wrong = {"name": "image", "shape": [1, 1], "datatype": "FP32", "data": [1]}
    binary = RequestedOutput("probabilities", {"binary_data": True})

    async def infer(request: Any, name: str = MODEL) -> Any:
        return await client.infer(URL, request, model_name=name)

    found = {
        "live": await client.is_server_live(URL),
        "ready": await client.is_server_ready(URL),
        "model ready": await client.is_model_ready(URL, MODEL),
        "unknown ready": await client.is_model_ready(URL, "nope"),
        "base64": classes(await infer({"inputs": [tensor]})),
        "binary": classes(await infer(InferRequest(MODEL, [encoded()]))),
        "pixels": classes(await infer(InferRequest(MODEL, [pixels()]))),
        "binary answer": classes(
            await infer(InferRequest(MODEL, [pixels()], request_outputs=[binary]))
        ),
        "unknown": await error_of(infer(InferRequest("nope", [pixels()]), "nope")),
        "datatype": await error_of(infer({"inputs": [wrong]})),
    }
    await client.close()
    return found


async def v1() -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    body = {"instances": [{"image": {"b64": TEXT}}] * 2}
    answer = await client.infer(URL, body, model_name=MODEL)
    found = {
        "live": await client.is_server_live(URL),
        "model ready": await client.is_model_ready(URL, MODEL),
        "predictions": [int(np.argmax(row)) for row in answer["predictions"]],
        "unknown": await error_of(client.infer(URL, body, model_name="nope")),
    }
    await client.close()
    return found


async def main() -> None:
    logging.disable(logging.CRITICAL)
    found = {"v2": await v2(), "v1": await v1()}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
