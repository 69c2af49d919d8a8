"""Triton's HTTP clients: HOST:PORT MODEL PHOTO PIXELS, a .npy of uint8 [1, 224, 224, 3]."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

HOST, MODEL = sys.argv[1:3]
with open(sys.argv[3], "rb") as file:
    PHOTO = file.read()
PIXELS = np.load(sys.argv[4])


def encoded(count: int, module: Any = triton, *, binary: bool = True) -> list[Any]:
    tensor = module.InferInput("image", [count], "BYTES")
    tensor.set_data_from_numpy(np.array([PHOTO] * count, dtype=np.object_), binary_data=binary)
    return [tensor]


def pixels(count: int, *, binary: bool = True) -> list[Any]:
    tensor = triton.InferInput("pixels", [count, *PIXELS.shape[1:]], "UINT8")
    tensor.set_data_from_numpy(np.repeat(PIXELS, count, axis=0), binary_data=binary)
    return [tensor]


def classes(result: Any) -> list[int]:
    return [int(row.argmax()) for row in result.as_numpy("probabilities")]


def error_of(call: Callable[[], object]) -> list[str | None]:
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return [None, "no error"]


def synchronous(client: Any) -> dict[str, Any]:
    bad = triton.InferInput("image", [1], "BYTES")
    bad.set_data_from_numpy(np.array([b"nonsense"], dtype=np.object_))
    floats = triton.InferInput("pixels", [1, 224, 224, 3], "FP32")
    floats.set_data_from_numpy(PIXELS.astype(np.float32))
    wanted = triton.InferRequestedOutput
    compressed = {
        name: classes(client.infer(MODEL, pixels(1), request_compression_algorithm=name))
        for name in ("gzip", "deflate")
    }
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model ready": client.is_model_ready(MODEL),
        "unknown ready": client.is_model_ready("nope"),
        "version 9 ready": client.is_model_ready(MODEL, "9"),
        "metadata": client.get_model_metadata(MODEL),
        "config": client.get_model_config(MODEL),
        "server": client.get_server_metadata(),
        "statistics": client.get_inference_statistics(MODEL)["model_stats"][0]["name"],
        "index": client.get_model_repository_index(),
        "encoded": classes(client.infer(MODEL, encoded(2), request_id="q")),
        "id": client.infer(MODEL, encoded(1), request_id="q").get_response()["id"],
        "pixels": classes(client.infer(MODEL, pixels(2))),
        "pixels in JSON": classes(client.infer(MODEL, pixels(1, binary=False))),
        "answer in JSON": classes(
            client.infer(MODEL, pixels(1), outputs=[wanted("probabilities", binary_data=False)])
        ),
        "compressed": compressed,
        "async": classes(client.async_infer(MODEL, encoded(1)).get_result()),
        "embedding": client.infer(MODEL, encoded(1), outputs=[wanted("embedding")])
        .as_numpy("embedding")
        .shape,
        "top 3": [
            text.decode()
            for text in client.infer(
                MODEL, encoded(1), outputs=[wanted("probabilities", class_count=3)]
            ).as_numpy("probabilities")[0]
        ],
        "errors": {
            "bad image": error_of(lambda: client.infer(MODEL, [bad])),
            "datatype": error_of(lambda: client.infer(MODEL, [floats])),
            "unknown model": error_of(lambda: client.infer("nope", pixels(1))),
            "version": error_of(lambda: client.infer(MODEL, pixels(1), model_version="7")),
            "output": error_of(lambda: client.infer(MODEL, pixels(1), outputs=[wanted("y")])),
            "timeout": error_of(lambda: client.infer(MODEL, encoded(1), timeout=1)),
        },
    }


async def asynchronous() -> dict[str, Any]:
    async with triton_aio.InferenceServerClient(HOST) as client:
        return {
            "aio ready": await client.is_model_ready(MODEL),
            "aio": classes(await client.infer(MODEL, encoded(2, triton_aio))),
        }


def main() -> None:
    with triton.InferenceServerClient(HOST) as client:
        found = synchronous(client)
    sys.stdout.write(json.dumps(found | asyncio.run(asynchronous())) + "\n")


if __name__ == "__main__":
    main()
