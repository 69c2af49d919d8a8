"""One picture through every HTTP protocol and input form: the same probabilities to the last bit.

Each request has one image, so that all of them are batches of one.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
import pytest

from tests.e2e.conftest import Server
from tests.golden.reference import PHOTOS, pixels_of

pytestmark = pytest.mark.weights

MODEL = "resnet50.keras_in1k"
V2, V1 = f"/v2/models/{MODEL}", f"/v1/models/{MODEL}"
PHOTO = (PHOTOS / "chelsea_cat.jpg").read_bytes()
TEXT = base64.b64encode(PHOTO).decode()
PIXELS = pixels_of(PHOTOS / "chelsea_cat.jpg")
LENGTH = "Inference-Header-Content-Length"
DECIMALS = 6

Array = npt.NDArray[np.float32]
Post = Callable[..., httpx2.Response]


@pytest.fixture(scope="module")
def post(float32_server: Server) -> Iterator[Post]:
    with httpx2.Client(base_url=float32_server.url, timeout=60) as client:

        def post(path: str, **request: Any) -> httpx2.Response:
            response: httpx2.Response = client.post(path, **request)
            assert response.status_code == 200, response.text
            return response

        yield post


def tensor(data: Any = None, size: int | None = None, **changed: Any) -> dict[str, Any]:
    given = {"name": "image", "datatype": "BYTES", "shape": [1], **changed}
    if size is None:
        return {**given, "data": data}
    return {**given, "parameters": {"binary_data_size": size}}


def v2(response: httpx2.Response) -> Array:
    """From JSON, or from float32 behind it."""
    content = response.content
    length = int(response.headers.get(LENGTH, len(content)))
    (output,) = json.loads(content[:length])["outputs"]
    if "data" in output:
        return np.array(output["data"], np.float32)
    return np.frombuffer(content[length:], "<f4")


def infer(post: Post, given: dict[str, Any], raw: bytes = b"", **options: Any) -> Array:
    """options: path, compress, and members of the body."""
    path, compress = options.pop("path", f"{V2}/infer"), options.pop("compress", None)
    text = json.dumps({"inputs": [given], **options}).encode()
    content, headers = text + raw, {LENGTH: str(len(text))} if raw else {}
    if compress:
        name, function = compress
        content, headers = function(content), {**headers, "Content-Encoding": name}
    return v2(post(path, content=content, headers=headers))


def predict(post: Post, body: Any, path: str = f"{V1}:predict") -> Array:
    answer = post(path, content=json.dumps(body)).json()
    (row,) = answer.get("predictions") or answer["outputs"]
    return np.array(row, np.float32)


ELEMENT = struct.pack("<I", len(PHOTO)) + PHOTO
RAW = PIXELS.tobytes()
UINT8: dict[str, Any] = {"name": "pixels", "datatype": "UINT8", "shape": [*PIXELS.shape]}
B64 = {"b64": TEXT}
BINARY = [{"name": "probabilities", "parameters": {"binary_data": True}}]

FORMS: dict[str, Callable[[Post], Array]] = {
    "v2 base64": lambda post: infer(post, tensor([TEXT])),
    "v2 base64 [1,1]": lambda post: infer(post, tensor([[TEXT]], shape=[1, 1])),
    "v2 base64 as pixels": lambda post: infer(post, tensor([TEXT], name="pixels")),
    "v2 version": lambda post: infer(post, tensor([TEXT]), path=f"{V2}/versions/1/infer"),
    "v2 binary answer": lambda post: infer(post, tensor([TEXT]), outputs=BINARY),
    "v2 binary answer by request": lambda post: infer(
        post, tensor([TEXT]), parameters={"binary_data_output": True}
    ),
    "v2 binary image": lambda post: infer(post, tensor(size=len(ELEMENT)), ELEMENT),
    "v2 gzip": lambda post: infer(post, tensor([TEXT]), compress=("gzip", gzip.compress)),
    "v2 deflate": lambda post: infer(
        post, tensor(size=len(ELEMENT)), ELEMENT, compress=("deflate", zlib.compress)
    ),
    "v2 raw image": lambda post: v2(post(f"{V2}/infer", content=PHOTO, headers={LENGTH: "0"})),
    "v2 raw pixels": lambda post: v2(post(f"{V2}/infer", content=RAW, headers={LENGTH: "0"})),
    "v2 pixels": lambda post: infer(post, tensor(size=len(RAW), **UINT8), RAW),
    "v2 pixels as image": lambda post: infer(
        post, tensor(size=len(RAW), **{**UINT8, "name": "image"}), RAW
    ),
    "v2 pixels in JSON": lambda post: infer(post, tensor(PIXELS.tolist(), **UINT8)),
    "v2 pixels in JSON, flat": lambda post: infer(post, tensor(PIXELS.ravel().tolist(), **UINT8)),
    "v1 b64": lambda post: predict(post, {"instances": [B64]}),
    "v1 image_bytes": lambda post: predict(post, {"instances": [{"image_bytes": B64}]}),
    "v1 image.b64": lambda post: predict(post, {"instances": [{"image": B64}]}),
    "v1 pixels": lambda post: predict(post, {"instances": PIXELS.tolist()}),
    "v1 named pixels": lambda post: predict(post, {"instances": [{"pixels": PIXELS[0].tolist()}]}),
    "v1 column": lambda post: predict(post, {"inputs": [B64]}),
    "v1 named column": lambda post: predict(post, {"inputs": {"image_bytes": [B64]}}),
    "v1 column of pixels": lambda post: predict(post, {"inputs": PIXELS.tolist()}),
    "v1 version": lambda post: predict(post, {"instances": [B64]}, f"{V1}/versions/1:predict"),
    "v1 label": lambda post: predict(post, {"instances": [B64]}, f"{V1}/labels/stable:predict"),
}


@pytest.fixture(scope="module")
def expected(post: Post) -> Array:
    found = FORMS["v2 binary image"](post)
    assert found.shape == (1000,)
    assert abs(float(found.sum()) - 1) < 1e-4
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_form_has_the_same_bits(post: Post, expected: Array, form: str) -> None:
    assert FORMS[form](post).tobytes() == expected.tobytes()


@pytest.mark.parametrize("path", [f"{V1}:classify", f"{V2}/infer"])
def test_the_best_classes_are_the_same(post: Post, expected: Array, path: str) -> None:
    best = sorted(expected.tolist(), reverse=True)[:5]
    if path.endswith(":classify"):
        body: Any = {"examples": [{"image": B64}]}
        (rows,) = post(path, content=json.dumps(body)).json()["results"]
        assert [probability for _, probability in rows] == best
    else:
        wanted: Any = {"name": "probabilities", "parameters": {"classification": 5}}
        body = {"inputs": [tensor([TEXT])], "outputs": [wanted]}
        (output,) = post(path, content=json.dumps(body)).json()["outputs"]
        found = [text.split(":")[0] for text in output["data"]]
        assert found == [f"{probability:.6f}" for probability in best]


@pytest.mark.parametrize("form", ["multipart", "raw"])
def test_predict_has_the_same_in_six_decimals(post: Post, expected: Array, form: str) -> None:
    if form == "raw":
        given: dict[str, Any] = {"content": PHOTO, "headers": {"Content-Type": "image/jpeg"}}
    else:
        given = {"files": {"file": PHOTO}}
    answer = post("/predict", params={"top_k": 1000}, **given).json()
    found = {one["class_id"]: one["probability"] for one in answer["predictions"]}
    assert [found[index] for index in range(1000)] == [
        round(probability, DECIMALS) for probability in expected.tolist()
    ]
