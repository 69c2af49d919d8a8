"""Requests of the Open Inference Protocol, as clients make them."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt

from service.protocols.bytes_tensor import join_elements
from tests.service.conftest import MODEL_NAME, TestClient

INFER = f"/v2/models/{MODEL_NAME}/infer"
LENGTH = "Inference-Header-Content-Length"
SIZE = 32


def text(image: bytes) -> str:
    return base64.b64encode(image).decode()


def image_input(*images: bytes, **changed: Any) -> dict[str, Any]:
    """In JSON. changed: members in place of these; None leaves one out."""
    given = {
        "name": "image",
        "shape": [len(images)],
        "datatype": "BYTES",
        "data": [text(one) for one in images],
        **changed,
    }
    return {name: value for name, value in given.items() if value is not None}


def pixel_input(count: int = 1, **changed: Any) -> dict[str, Any]:
    given = {"name": "pixels", "shape": [count, SIZE, SIZE, 3], "datatype": "UINT8", **changed}
    return {name: value for name, value in given.items() if value is not None}


def sized(given: dict[str, Any], raw: bytes, size: int | None = None) -> dict[str, Any]:
    """The input with its data behind the JSON."""
    parameters = {"binary_data_size": len(raw) if size is None else size}
    return {**{k: v for k, v in given.items() if k != "data"}, "parameters": parameters}


def elements(*images: bytes) -> bytes:
    return join_elements(images)


def post(
    client: TestClient,
    body: Any = b"",
    raw: bytes | None = None,
    path: str = INFER,
    headers: dict[str, str] | None = None,
    **named: str,
) -> httpx2.Response:
    """body: bytes, or what becomes JSON. raw: the tensors behind it. Without a Content-Type."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {name.replace("_", "-"): value for name, value in named.items()} | (headers or {})
    if raw is not None:
        given[LENGTH] = str(len(content))
        content += raw
    response: httpx2.Response = client.post(path, content=content, headers=given)
    return response


def error_of(response: httpx2.Response, status: int = 400) -> str:
    """That the answer is an error as clients read it; its text."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert [*body] == ["error"]
    error = body["error"]
    # OpenAI's is an object.
    return str(error["message"] if isinstance(error, dict) else error)


def tensors(response: httpx2.Response) -> dict[str, npt.NDArray[Any]]:
    """The outputs by name, from JSON or from what is behind it."""
    assert response.status_code == 200, response.text
    content = response.content
    length = int(response.headers.get(LENGTH, len(content)))
    raw = content[length:]
    found: dict[str, npt.NDArray[Any]] = {}
    for output in json.loads(content[:length])["outputs"]:
        if "data" in output:
            kind: Any = np.float32 if output["datatype"] == "FP32" else object
            found[output["name"]] = np.array(output["data"], kind).reshape(output["shape"])
        else:
            size = output["parameters"]["binary_data_size"]
            assert output["datatype"] == "FP32"
            values = np.frombuffer(raw[:size], "<f4").reshape(output["shape"])
            found[output["name"]], raw = values, raw[size:]
    assert not raw
    return found
