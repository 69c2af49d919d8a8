"""POST /v2/models/{name}/infer: the exchanges of a Triton server, and what differs on purpose."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.fakes import COLOR_KERNEL, FEATURES
from tests.service.http.protocols.v2 import (
    INFER,
    LENGTH,
    SIZE,
    elements,
    error_of,
    image_input,
    pixel_input,
    post,
    sized,
    tensors,
    text,
)
from tests.service.images import plain

RED, GREEN = plain("red"), plain("green")
LARGE = plain("red", (200, 100), "BMP")
RED_PIXELS = bytes([255, 0, 0]) * SIZE * SIZE


def probabilities(**parameters: Any) -> list[dict[str, Any]]:
    return [{"name": "probabilities", "parameters": parameters}]


def test_an_image_in_json(service: Service) -> None:
    response = post(service.client, {"id": "q1", "inputs": [image_input(RED)]})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert LENGTH not in response.headers
    assert "decode;dur=" in response.headers["Server-Timing"]
    assert response.headers["X-Request-ID"]
    body = response.json()
    assert [*body] == ["id", "model_name", "model_version", "outputs"]
    assert body["id"] == "q1"
    assert (body["model_name"], body["model_version"]) == (MODEL_NAME, "1")
    (output,) = body["outputs"]
    assert [*output] == ["name", "datatype", "shape", "data"]
    assert (output["name"], output["datatype"], output["shape"]) == (
        "probabilities",
        "FP32",
        [1, 5],
    )
    assert np.argmax(output["data"]) == 0
    # Each is the double that a float32 is.
    assert all(float(np.float32(value)) == value for value in output["data"])


@pytest.mark.parametrize("identifier", [None, ""])
def test_an_id_is_repeated_only_where_there_is_one(service: Service, identifier: Any) -> None:
    body = {"inputs": [image_input(RED)]} | ({} if identifier is None else {"id": identifier})
    assert [*post(service.client, body).json()] == ["model_name", "model_version", "outputs"]


def test_one_image_in_every_form_gives_the_same_probabilities(service: Service) -> None:
    """To the last bit."""
    nested = np.frombuffer(RED_PIXELS, np.uint8).reshape(1, SIZE, SIZE, 3).tolist()
    image, pixels = image_input(RED), pixel_input()
    large = image_input(LARGE)
    tensor, binary = elements(RED), {"parameters": {"binary_data_output": True}}
    answers = [
        post(service.client, {"inputs": [image]}),
        post(service.client, {"inputs": [{**image, "name": "pixels"}]}),
        post(service.client, {"inputs": [{**image, "shape": [1, 1], "data": [[text(RED)]]}]}),
        post(service.client, {"inputs": [{**image, "shape": [1, 1]}]}, path=INFER),
        post(service.client, {"inputs": [large]}),
        post(service.client, {"inputs": [image], **binary}),
        post(service.client, {"inputs": [sized(image, tensor)]}, tensor),
        post(service.client, {"inputs": [sized(image, tensor)], **binary}, tensor),
        post(service.client, {"inputs": [{**pixels, "data": nested}]}),
        post(service.client, {"inputs": [{**pixels, "data": [*RED_PIXELS]}]}),
        post(service.client, {"inputs": [sized(pixels, RED_PIXELS)]}, RED_PIXELS),
        post(service.client, RED, headers={LENGTH: "0"}),
        post(service.client, LARGE, headers={LENGTH: "0"}),
        post(service.client, RED_PIXELS, headers={LENGTH: "0"}),
        post(service.client, {"inputs": [image]}, path=INFER.replace("infer", "versions/1/infer")),
        post(service.client, {"inputs": [image]}, Content_Type="application/json"),
        post(service.client, {"inputs": [image]}, Content_Type="application/x-www-form-urlencoded"),
    ]
    found = {tensors(answer)["probabilities"].tobytes() for answer in answers}
    assert len(found) == 1
    best = service.client.post("/predict", content=RED, headers={"Content-Type": "image/png"})
    (shown, *_) = best.json()["predictions"]
    assert shown["probability"] == round(float(np.frombuffer(found.pop(), "<f4")[0]), 6)


def test_several_images_keep_their_order(service: Service) -> None:
    images = [RED, GREEN, RED, GREEN]
    found = tensors(post(service.client, {"inputs": [image_input(*images)]}))["probabilities"]
    assert found.shape == (4, 5)
    assert found.argmax(axis=1).tolist() == [0, 1, 0, 1]


def test_the_outputs_that_are_asked_for(service: Service) -> None:
    outputs = [
        {"name": "embedding", "parameters": {"binary_data": True}},
        {"name": "logits"},
        {"name": "probabilities", "parameters": {"binary_data": True}},
    ]
    response = post(service.client, {"inputs": [image_input(RED, RED)], "outputs": outputs})
    assert response.headers["Content-Type"] == "application/octet-stream"
    found = tensors(response)
    assert [*found] == ["embedding", "logits", "probabilities"]
    assert found["embedding"].shape == (2, FEATURES)
    assert found["embedding"][0, :3].tolist() == [1, 0, 0]
    assert found["logits"][0].tolist() == [10 * COLOR_KERNEL[0][0], -10, -10, -10, -5]


def test_binary_by_request_and_json_by_output(service: Service) -> None:
    body = {
        "inputs": [image_input(RED)],
        "outputs": probabilities(binary_data=False),
        "parameters": {"binary_data_output": True},
    }
    assert post(service.client, body).headers["Content-Type"] == "application/json"
    assert tensors(post(service.client, {**body, "outputs": []}))["probabilities"].shape == (1, 5)


@pytest.mark.parametrize(("asked", "named"), [(1, 1), (3, 3), (99, 5)])
def test_classification_names_classes(service: Service, asked: int, named: int) -> None:
    body = {"inputs": [image_input(RED, GREEN)], "outputs": probabilities(classification=asked)}
    (output,) = post(service.client, body).json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, named])
    assert output["data"][0] == "1.000000:0:red"
    assert output["data"][named] == "1.000000:1:green"
    raw = post(
        service.client, {**body, "outputs": probabilities(classification=asked, binary_data=True)}
    )
    length = int(raw.headers[LENGTH])
    assert raw.content[length:] == elements(*(one.encode() for one in output["data"]))


def test_no_class_is_named_by_classification_0_or_for_an_embedding(service: Service) -> None:
    body = {"inputs": [image_input(RED)], "outputs": probabilities(classification=0)}
    assert tensors(post(service.client, body))["probabilities"].shape == (1, 5)
    body["outputs"] = [{"name": "embedding", "parameters": {"classification": 1}}]
    (output,) = post(service.client, body).json()["outputs"]
    assert output["data"] == ["1.000000:0"]


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_compressed_body(service: Service, compress: Any) -> None:
    given = sized(pixel_input(), RED_PIXELS)
    head = json.dumps({"inputs": [given]}).encode()
    encoding = "gzip" if compress is gzip.compress else "deflate"
    headers = {LENGTH: str(len(head)), "Content-Encoding": encoding}
    body = compress(head + RED_PIXELS)
    assert tensors(post(service.client, body, headers=headers))["probabilities"].argmax() == 0
    for broken in (b"nonsense", body[:-1], body + b"x", body[: len(body) // 2]):
        error_of(post(service.client, broken, headers=headers))


def test_a_body_is_limited_after_it_is_inflated(serve: Serve) -> None:
    service = serve(max_body_bytes=30_000)
    bomb = gzip.compress(bytes(30_001))
    assert len(bomb) < 1000
    assert "30000 bytes" in error_of(post(service.client, bomb, Content_Encoding="gzip"), 413)
    fits = gzip.compress(bytes(30_000))
    error_of(post(service.client, fits, Content_Encoding="gzip"), 400)
    assert service.app.state.runtime.service.budget.used_bytes == 0


def test_another_compression(service: Service) -> None:
    response = post(service.client, b"x", Content_Encoding="br")
    error_of(response, 415)
    assert response.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"timeout": 5_000_000, "priority": 1}, 200),
        ({"priority": 9, "foo": "bar", "n": 1, "d": 1.5, "f": True}, 200),
        ({"timeout": 0, "priority": 0}, 200),
        ({"timeout": 1}, 504),
        ({"timeout": -1}, 400),
        ({"timeout": 1.5}, 400),
        ({"priority": "high"}, 400),
        ({"priority": True}, 400),
        ({"foo": [1]}, 400),
        ({"triton_x": 1}, 400),
    ],
)
def test_parameters_of_the_request(
    service: Service, parameters: dict[str, Any], status: int
) -> None:
    response = post(service.client, {"inputs": [image_input(RED)], "parameters": parameters})
    assert response.status_code == status, response.text


RAW = elements(RED)
# What is wrong with it -> the body, what is behind its JSON, and a part of the error's text.
INVALID: dict[str, tuple[Any, bytes | None, str]] = {
    "empty body": (b"", None, "empty"),
    "not an object": ([1], None, "object"),
    "broken JSON": (b'{"inputs": [', None, "not JSON"),
    "no inputs": ({"id": "1"}, None, "'inputs' is an array"),
    "inputs is text": ({"inputs": "x"}, None, "'inputs' is an array"),
    "empty inputs": ({"inputs": []}, None, "expected 1 inputs but got 0 inputs"),
    "unknown input": ({"inputs": [image_input(RED, name="nope")]}, None,
                      f"unexpected inference input 'nope' for model '{MODEL_NAME}'"),
    "no name": ({"inputs": [image_input(RED, name=None)]}, None, "'name' is a string"),
    "no shape": ({"inputs": [image_input(RED, shape=None)]}, None, "'shape' of input 'image'"),
    "no datatype": ({"inputs": [image_input(RED, datatype=None)]}, None, "'datatype' is"),
    "no data": ({"inputs": [image_input(RED, data=None)]}, None, "no field is set"),
    "twice": ({"inputs": [image_input(RED)] * 2}, None, "expected 1 inputs but got 2"),
    "shape is text": ({"inputs": [image_input(RED, shape="1")]}, None, "'shape' of input"),
    "negative shape": ({"inputs": [image_input(RED, shape=[-1])]}, None, "'shape' of input"),
    "shape of true": ({"inputs": [image_input(RED, shape=[True])]}, None, "'shape' of input"),
    "shape of nothing": ({"inputs": [image_input(RED, shape=[])]}, None, "'shape' of input"),
    "huge shape": ({"inputs": [image_input(RED, shape=[10**30])]}, None, "'shape' of input"),
    "shape [1,2]": ({"inputs": [image_input(RED, shape=[1, 2])]}, None,
                    "Expected [-1] or [-1,1], got [1,2]"),
    "too few": ({"inputs": [image_input(RED, shape=[2])]}, None, "expected 2 string elements"),
    "too many": ({"inputs": [image_input(RED, RED, shape=[1])]}, None, "got 2"),
    "data is a number": ({"inputs": [image_input(RED, data=[1])]}, None, "array of strings"),
    "data is text": ({"inputs": [image_input(RED, data="x")]}, None, "got 0"),
    "not base64": ({"inputs": [image_input(RED, data=["\u00ff\u20ac"])]}, None, "base64"),
    "no image": ({"inputs": [image_input(b"nonsense")]}, None, "Images are taken as"),
    "one is no image": ({"inputs": [image_input(RED, b"x", RED)]}, None, "Image 1 of 3"),
    "empty image": ({"inputs": [image_input(b"")]}, None, "empty"),
    "id is a number": ({"id": 5, "inputs": [image_input(RED)]}, None, "'id' is a string"),
    "id is long": ({"id": "A" * 5000, "inputs": [image_input(RED)]}, None, "'id' is a string"),
    "unknown output": ({"inputs": [image_input(RED)], "outputs": [{"name": "nope"}]}, None,
                       f"unexpected inference output 'nope' for model '{MODEL_NAME}'"),
    "output twice": ({"inputs": [image_input(RED)], "outputs": [{"name": "logits"}] * 2}, None,
                     "already exists"),
    "classification -1": ({"inputs": [image_input(RED)],
                           "outputs": probabilities(classification=-1)}, None, "classification"),
    "classes of a map": ({"inputs": [image_input(RED)], "outputs": [
        {"name": "class_activation_map", "parameters": {"classification": 1}}]}, None,
        "has no classification"),
    "map of no class": ({"inputs": [image_input(RED)], "outputs": [
        {"name": "class_activation_map", "parameters": {"classes": "red,nope"}}]}, None,
        "Received: 'nope'"),
    "no map": ({"inputs": [image_input(RED)], "outputs": [
        {"name": "class_activation_map", "parameters": {"top_k": 0}}]}, None, "Received: 0"),
    "many maps": ({"inputs": [image_input(RED)], "outputs": [
        {"name": "class_activation_map", "parameters": {"top_k": 21}}]}, None, "1 to 20 classes"),
    "normalized is 1": ({"inputs": [image_input(RED)], "outputs": [
        {"name": "embedding", "parameters": {"normalized": 1}}]}, None, "true or false"),
    "trailing bytes": ({"inputs": [sized(image_input(RED), RAW)]}, RAW + b"zz",
                       "unexpected additional input data"),
    "bytes without an input": ({"inputs": [image_input(RED)]}, b"zz",
                               "unexpected additional input data"),
    "size past the end": ({"inputs": [sized(image_input(RED), RAW, len(RAW) + 9)]}, RAW,
                          "expecting 9 additional bytes"),
    "size too small": ({"inputs": [sized(image_input(RED), RAW, len(RAW) - 1)]}, RAW,
                       "unexpected additional input data"),
    "element past the end": ({"inputs": [sized(image_input(RED), b"c\0\0\0abc")]}, b"c\0\0\0abc",
                             "string of length 99 but only 3 bytes"),
    "data and binary": ({"inputs": [{**sized(image_input(RED), RAW), "data": []}]}, RAW,
                        "But set 'data' 'binary_data_size'"),
    "shared memory": ({"inputs": [image_input(RED, data=None, parameters={
        "shared_memory_region": "r", "shared_memory_byte_size": 8})]}, None, "Shared memory"),
    "output in shared memory": ({"inputs": [image_input(RED)], "outputs": [
        {"name": "probabilities", "parameters": {"shared_memory_region": "r"}}]}, None,
        "Shared memory"),
    "wrong pixels": ({"inputs": [sized({**pixel_input(), "shape": [1, 100, 100, 3]}, RED_PIXELS)]},
                     RED_PIXELS, f"Expected [-1,{SIZE},{SIZE},3], got [1,100,100,3]"),
    "no batch dimension": ({"inputs": [sized({**pixel_input(), "shape": [SIZE, SIZE, 3]},
                                             RED_PIXELS)]}, RED_PIXELS, "unexpected shape"),
    "batch of none": ({"inputs": [sized(pixel_input(0), b"")]}, b"", "at least one image"),
    "batch too large": ({"inputs": [sized(pixel_input(33), b"")]}, b"", "batch-size must be <= 32"),
    "wrong datatype": ({"inputs": [sized(pixel_input(datatype="FP32"), RED_PIXELS)]}, RED_PIXELS,
                       "data-type is 'FP32'"),
    "lower case": ({"inputs": [sized(pixel_input(datatype="uint8"), RED_PIXELS)]}, RED_PIXELS,
                   "data-type is 'uint8'"),
    "too few pixels": ({"inputs": [sized(pixel_input(), RED_PIXELS[1:])]}, RED_PIXELS[1:],
                       "Received: 3071"),
    "pixels of floats": ({"inputs": [pixel_input(data=[1.5] * 3072)]}, None, "integers, 0 to 255"),
    "pixels of text": ({"inputs": [pixel_input(data="x")]}, None, "array of integers"),
    "other count than shape": ({"inputs": [pixel_input(2, data=[0] * 3072)]}, None, "2 images"),
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID)
def test_what_is_invalid_is_400(service: Service, name: str) -> None:
    body, raw, message = INVALID[name]
    assert message in error_of(post(service.client, body, raw))
    assert service.sample("resnet_http_requests_total", route="/v2/models/{name}/infer",
                          method="POST", status="400") == 1  # fmt: skip
    assert service.app.state.runtime.service.budget.used_bytes == 0


@pytest.mark.parametrize("length", ["abc", "-1", "1.5", "99999", "9" * 5000, ""])
def test_a_length_of_the_json_that_is_none(service: Service, length: str) -> None:
    error_of(post(service.client, {"inputs": [image_input(RED)]}, headers={LENGTH: length}))


@pytest.mark.parametrize("body", [RED_PIXELS[1:], elements(RED), b"x"])
def test_a_raw_body_that_is_neither_pixels_nor_an_image(service: Service, body: bytes) -> None:
    error_of(post(service.client, body, headers={LENGTH: "0"}))


def test_a_file_of_as_many_bytes_as_pixels_have_is_an_image(service: Service) -> None:
    image = GREEN + bytes(len(RED_PIXELS) - len(GREEN))
    response = post(service.client, image, headers={LENGTH: "0"})
    assert tensors(response)["probabilities"].argmax() == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v2/models/nope/infer", "Request for unknown model: 'nope' is not found"),
        (
            f"/v2/models/{MODEL_NAME}/versions/7/infer",
            f"Request for unknown model: '{MODEL_NAME}' version 7 is not found",
        ),
        (f"/v2/models/{MODEL_NAME}/versions/x/infer", "version x is not found"),
        (f"/v2/models/{MODEL_NAME}/infer/", "Not Found"),
    ],
)
def test_an_unknown_model_or_version(service: Service, path: str, message: str) -> None:
    response = post(service.client, {"inputs": [image_input(RED)]}, path=path)
    assert message in error_of(response, 404)


def test_an_alias_is_named_as_it_was_asked_for(service: Service) -> None:
    response = post(service.client, {"inputs": [image_input(RED)]}, path=INFER)
    assert response.json()["model_name"] == MODEL_NAME


PARTS = [
    b'{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":',
    b'{"inputs":[{"name":"pixels","shape":[1,32,32,3],"datatype":"UINT8","data":[',
    b"5", b"}}]}", b"]}]}", b"1,", b"\1\0\0\0x", RAW, RED, b'"', b"[", b"\xff", b'"data":["',
    b"0" * 300,
]  # fmt: skip


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.sampled_from(PARTS), max_size=8), st.integers(-2, 200) | st.none())
def test_no_bytes_are_a_fault_of_the_service(
    service: Service, parts: list[bytes], length: int | None
) -> None:
    headers = {} if length is None else {LENGTH: str(length)}
    response = post(service.client, b"".join(parts), headers=headers)
    assert response.status_code in (200, 400), response.text
    assert service.app.state.runtime.service.budget.used_bytes == 0
