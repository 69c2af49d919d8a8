"""POST /v1/embeddings, in the form of OpenAI's API."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.service.conftest import MODEL_NAME, Service
from tests.service.fakes import FEATURES
from tests.service.images import encoded, noise, plain

PATH = "/v1/embeddings"
RED, GREEN = plain("red"), plain("green")
LARGE = encoded(noise(60, 60))


def text(image: bytes) -> str:
    return base64.b64encode(image).decode()


def post(service: Service, body: Any, **headers: str) -> httpx2.Response:
    response: httpx2.Response = service.client.post(PATH, json=body, headers=headers)
    return response


def error_of(response: httpx2.Response, status: int = 400) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert [*response.json()] == ["error"]
    error: dict[str, Any] = response.json()["error"]
    assert [*error] == ["message", "type", "param", "code"]
    return error


def test_the_answer_is_openais(service: Service) -> None:
    images = [text(RED), f"data:image/png;base64,{text(GREEN)}", text(LARGE)]
    response = post(service, {"model": MODEL_NAME, "input": images, "user": "me"})
    body = response.json()
    assert response.status_code == 200, body
    assert [*body] == ["object", "data", "model", "usage"]
    assert (body["object"], body["model"]) == ("list", MODEL_NAME)
    assert body["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
    assert [(one["object"], one["index"]) for one in body["data"]] == [
        ("embedding", index) for index in range(3)
    ]
    assert [one["embedding"][:3] for one in body["data"][:2]] == [[1, 0, 0], [0, 1, 0]]
    assert {len(one["embedding"]) for one in body["data"]} == {FEATURES}
    assert "decode;dur=" in response.headers["Server-Timing"]


@pytest.mark.parametrize("normalized", [False, True])
def test_the_bits_are_those_of_predict(service: Service, normalized: bool) -> None:
    asked = {"input": text(LARGE), "encoding_format": "base64", "normalized": normalized}
    (one,) = post(service, asked).json()["data"]
    packed = service.client.post(
        "/predict",
        files={"file": LARGE},
        params={
            "outputs": "embedding",
            "encoding_format": "base64",
            **({"normalized": "true"} if normalized else {}),
        },
    )
    assert one["embedding"] == packed.json()["embedding"]
    asked["encoding_format"] = "float"
    (plainly,) = post(service, asked).json()["data"]
    found = np.frombuffer(base64.b64decode(one["embedding"]), "<f4")
    assert plainly["embedding"] == found.tolist()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "no object"),
        ({}, "input is an image"),
        ({"input": []}, "input is an image"),
        ({"input": ""}, "input[0] is empty"),
        ({"input": "data:image/png;base64,"}, "input[0] is empty"),
        ({"input": [1, 2, 3]}, "input[0] is a string"),
        ({"input": [*range(1000)]}, "input is an image"),
        ({"input": [[1, 2]]}, "input[0] is a string"),
        ({"input": "What is this?"}, "input[0]: An image is not in base64"),
        ({"input": [text(RED), text(b"not an image")]}, "Image 1 of 2"),
        ({"input": text(b"not an image")}, "Images are taken as"),
        ({"input": "http://127.0.0.1/a.jpg"}, "input[0]: http: URLs are not fetched"),
        ({"input": [text(RED), "HTTPS://x/a"]}, "input[1]: https: URLs are not fetched"),
        ({"input": "file:///etc/passwd"}, "file: URLs are not fetched"),
        ({"input": "data:text/plain,hello"}, "a data: URL of an image is in base64"),
        ({"input": [text(RED)] * 33}, "may have 32 images. Received: 33"),
        ({"input": text(RED), "dimensions": 256}, "dimensions"),
        ({"input": text(RED), "encoding_format": "hex"}, "'float' or 'base64'"),
        ({"input": text(RED), "encoding_format": ["x"]}, "'float' or 'base64'"),
        ({"input": text(RED), "normalized": 1}, "true or false"),
        ({"input": text(RED), "model": 5}, "model is the name"),
        ({"input": text(RED), "prompt": "x"}, "Received: 'prompt'"),
    ],
)
def test_what_is_no_image_is_400(service: Service, body: Any, says: str) -> None:
    error = error_of(post(service, body))
    assert says in error["message"]
    assert error["type"] == "invalid_request_error"


def test_an_unknown_model_is_404(service: Service) -> None:
    error = error_of(post(service, {"model": "text-embedding-3-small", "input": text(RED)}), 404)
    assert (error["type"], error["code"]) == ("not_found_error", "model_not_found")


def test_what_is_not_json_or_posted(service: Service) -> None:
    assert "JSON" in error_of(service.client.post(PATH, content=b"{"))["message"]
    assert "empty" in error_of(service.client.post(PATH))["message"]
    assert error_of(service.client.get(PATH), 405)["code"] == "method_not_allowed"


def test_bytes_are_given_back(service: Service) -> None:
    for body in ({"input": [text(LARGE)] * 3}, {"input": [text(LARGE), "!"]}, {"input": 5}):
        post(service, body)
    assert service.app.state.runtime.service.budget.used_bytes == 0
