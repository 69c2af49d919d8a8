"""Triton's clients, run by the Python of their own environment.

tritonclient_calls.py HTTP_PORT GRPC_PORT MODEL PHOTO SIZE
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

HTTP, GRPC, MODEL, PHOTO, SIZE = sys.argv[1:]
ADDRESSES = {"http": f"127.0.0.1:{HTTP}", "grpc": f"127.0.0.1:{GRPC}"}
with open(PHOTO, "rb") as file:
    DATA = file.read()
FOUND: dict[str, bytes] = {}


def image(module: Any, count: int = 1) -> Any:
    tensor = module.InferInput("image", [count], "BYTES")
    tensor.set_data_from_numpy(np.array([DATA] * count, dtype=np.object_))
    return tensor


def pixels(module: Any, datatype: str = "UINT8") -> Any:
    shape = [1, int(SIZE), int(SIZE), 3]
    tensor = module.InferInput("pixels", shape, datatype)
    tensor.set_data_from_numpy(np.zeros(shape, np.uint8 if datatype == "UINT8" else np.float32))
    return tensor


def refused(client: Any, **given: Any) -> str:
    try:
        client.infer(**given)
    except InferenceServerException as error:
        return str(error.status())
    raise AssertionError(f"It was answered: {given}")


def calls(protocol: str, module: Any) -> None:
    client = module.InferenceServerClient(ADDRESSES[protocol])
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert not client.is_model_ready("nope")
    assert not client.is_model_ready(MODEL, "9")
    assert client.get_server_metadata()
    assert client.get_model_metadata(MODEL)
    assert client.get_model_config(MODEL)
    assert client.get_inference_statistics(MODEL)
    assert client.get_model_repository_index()
    one = client.infer(MODEL, [image(module)], request_id="q").as_numpy("probabilities")
    FOUND[protocol] = one.tobytes()
    two = client.infer(MODEL, [image(module, 2)]).as_numpy("probabilities")
    assert two.shape == (2, one.shape[1])
    wanted = [module.InferRequestedOutput("probabilities", class_count=2)]
    (classes,) = client.infer(MODEL, [image(module)], outputs=wanted).as_numpy("probabilities")
    assert int(classes[0].split(b":")[1]) == one.argmax()
    assert client.infer(MODEL, [pixels(module)], timeout=10**7, priority=1)
    gzipped = {"http": "request_compression_algorithm", "grpc": "compression_algorithm"}
    assert client.infer(MODEL, [image(module)], **{gzipped[protocol]: "gzip"})
    bad = module.InferInput("image", [1], "BYTES")
    bad.set_data_from_numpy(np.array([b"nonsense"], dtype=np.object_))
    codes = [
        refused(client, model_name=MODEL, inputs=[bad]),
        refused(client, model_name=MODEL, inputs=[pixels(module, "FP32")]),
        refused(client, model_name="nope", inputs=[image(module)]),
        refused(client, model_name=MODEL, inputs=[image(module)], timeout=1),
    ]
    of_grpc = ["INVALID_ARGUMENT", "INVALID_ARGUMENT", "NOT_FOUND", "DEADLINE_EXCEEDED"]
    expected = {
        "http": ["400", "400", "404", "504"],
        "grpc": [f"StatusCode.{code}" for code in of_grpc],
    }
    assert codes == expected[protocol], codes


async def asynchronous() -> None:
    http, grpc = tritonclient.http.aio, tritonclient.grpc.aio
    async with http.InferenceServerClient(ADDRESSES["http"]) as client:
        found = await client.infer(MODEL, [image(http)])
        assert found.as_numpy("probabilities").tobytes() == FOUND["http"]
    async with grpc.InferenceServerClient(ADDRESSES["grpc"]) as client:
        found = await client.infer(MODEL, [image(grpc)])
        assert found.as_numpy("probabilities").tobytes() == FOUND["http"]

        async def requests() -> Any:
            for number in range(3):
                yield {"model_name": MODEL, "inputs": [image(grpc)], "request_id": str(number)}

        seen = []
        async for result, error in client.stream_infer(requests()):
            assert error is None
            seen.append(result.get_response().id)
        assert seen == ["0", "1", "2"]


calls("http", tritonclient.http)
calls("grpc", tritonclient.grpc)
assert FOUND["http"] == FOUND["grpc"]
asyncio.run(asynchronous())
