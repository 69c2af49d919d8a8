"""/v1: TensorFlow Serving's REST API as its clients use it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_builder.errors import BuilderError
from service.inference.model import Model
from tests.service.conftest import MODEL_NAME, Service, TestClient
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.protocols.v2 import error_of, image_input, tensors
from tests.service.http.protocols.v2 import post as post_v2
from tests.service.images import plain

MODEL = f"/v1/models/{MODEL_NAME}"
PREDICT, CLASSIFY = f"{MODEL}:predict", f"{MODEL}:classify"
RED, GREEN = plain("red"), plain("green")
LARGE = plain("red", (200, 100), "BMP")


def b64(image: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(image).decode()}


def pixels(*colors: tuple[int, int, int]) -> list[Any]:
    found: list[Any] = np.array([np.full((32, 32, 3), color) for color in colors]).tolist()
    return found


RED_PIXELS = pixels((255, 0, 0))


def post(client: TestClient, body: Any, path: str = PREDICT) -> httpx2.Response:
    """As `curl -d` does: no useful Content-Type."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response: httpx2.Response = client.post(path, content=content, headers=headers)
    return response


def answer(response: httpx2.Response, key: str) -> Any:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert [*body] == [key]
    return body[key]


ONE: dict[str, dict[str, Any]] = {
    "b64 alone": {"instances": [b64(RED)]},
    "a large image": {"instances": [b64(LARGE)]},
    "image_bytes": {"instances": [{"image_bytes": b64(RED)}]},
    "KServe's image": {"instances": [{"image": b64(RED)}]},
    "with a signature": {"signature_name": "serving_default", "instances": [b64(RED)]},
    "pixels": {"instances": RED_PIXELS},
    "named pixels": {"instances": [{"pixels": RED_PIXELS[0]}]},
    "a column": {"inputs": [b64(RED)]},
    "a named column": {"inputs": {"image_bytes": [b64(RED)]}},
    "a column of one": {"inputs": {"image_bytes": b64(RED)}},
    "a bare column of one": {"inputs": b64(RED)},
    "a column of pixels": {"inputs": RED_PIXELS},
    "a named column of pixels": {"inputs": {"pixels": RED_PIXELS}},
}


@pytest.mark.parametrize("form", ONE)
def test_one_image_in_every_form_gives_the_probabilities_of_v2(service: Service, form: str) -> None:
    """To the last bit."""
    body = ONE[form]
    key = "predictions" if "instances" in body else "outputs"
    (found,) = answer(post(service.client, body), key)
    expected = tensors(post_v2(service.client, {"inputs": [image_input(RED)]}))["probabilities"]
    assert np.array(found, np.float32).tobytes() == expected.tobytes()
    assert all(float(np.float32(value)) == value for value in found)


@pytest.mark.parametrize("part", ["", "/versions/1", "/labels/stable"])
def test_several_images_keep_their_order(service: Service, part: str) -> None:
    path = f"{MODEL}{part}:predict"
    rows = post(service.client, {"instances": [b64(RED), {"image": b64(GREEN)}, b64(RED)]}, path)
    assert [np.argmax(row) for row in answer(rows, "predictions")] == [0, 1, 0]
    given = {"inputs": pixels((0, 255, 0), (255, 0, 0))}
    columns = post(service.client, given, path)
    assert [np.argmax(row) for row in answer(columns, "outputs")] == [1, 0]
    each = {"instances": [{"pixels": one} for one in pixels((0, 255, 0), (255, 0, 0))]}
    assert answer(post(service.client, each, path), "predictions") == answer(columns, "outputs")


@pytest.mark.parametrize("part", ["", "/versions/1", "/labels/stable"])
def test_classify(service: Service, part: str) -> None:
    body = {"context": {"x": 1}, "examples": [{"image": b64(GREEN)}, {"image_bytes": b64(RED)}]}
    first, second = answer(post(service.client, body, f"{MODEL}{part}:classify"), "results")
    assert first[0][0] == "green"
    assert second[0][0] == "red"
    assert len(first) == 5
    (row,) = answer(post(service.client, {"instances": [b64(GREEN)]}), "predictions")
    assert first[0][1] == row[1]


def get(client: TestClient, path: str) -> Any:
    response = client.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    return response.json()


@pytest.mark.parametrize("part", ["", "/versions/1", "/labels/stable"])
def test_the_state_and_the_signature(service: Service, part: str) -> None:
    state = get(service.client, MODEL + part)
    assert state["model_version_status"] == [
        {
            "version": "1",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
    ]
    assert (state["name"], state["ready"]) == (MODEL_NAME, True)
    body = get(service.client, f"{MODEL}{part}/metadata")
    assert body["model_spec"] == {"name": MODEL_NAME, "signature_name": "", "version": "1"}
    signature = body["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    output = signature["outputs"]["probabilities"]
    assert output["dtype"] == "DT_FLOAT"
    assert [one["size"] for one in output["tensor_shape"]["dim"]] == ["-1", "5"]
    signatures = body["metadata"]["signature_def"]["signature_def"]
    shapes = {
        name: [one["size"] for one in signatures[name]["outputs"][name]["tensor_shape"]["dim"]]
        for name in ("logits", "embedding", "class_activation_map")
    }
    assert shapes == {
        "logits": ["-1", "5"],
        "embedding": ["-1", "512"],
        "class_activation_map": ["-1", "-1", "2", "2"],
    }
    assert get(service.client, "/v1/models") == {"models": [MODEL_NAME]}


def test_a_model_that_loads_or_failed(start_app: Callable[..., TestClient]) -> None:
    waits, go_on = threading.Event(), threading.Event()

    def load(name: str) -> Model:
        if name == "resnet50":
            waits.set()
            go_on.wait(WAIT_SECONDS)
        raise BuilderError("a secret of the operator's")

    client = start_app(load, model=MODEL_NAME, models="resnet50")
    try:
        assert waits.wait(WAIT_SECONDS)
        (failed,) = get(client, MODEL)["model_version_status"]
        assert failed["state"] == "END"
        assert "secret" not in failed["status"]["error_message"]
        loading = get(client, "/v1/models/resnet50")
        assert loading["model_version_status"][0]["state"] == "LOADING"
        assert loading["ready"] is False
        response = post(client, {"instances": []}, "/v1/models/resnet50:predict")
        error_of(response, 503)
        assert response.headers["Retry-After"]
    finally:
        go_on.set()


INVALID: dict[str, tuple[str, Any, str]] = {
    "empty": (PREDICT, b"", "empty"),
    "broken": (PREDICT, b'{"instances": [', "not JSON"),
    "not an object": (PREDICT, [1], "Is not object"),
    "neither": (PREDICT, {}, "Missing 'inputs' or 'instances' key"),
    "both": (PREDICT, {"inputs": [], "instances": []}, "expecting only one of"),
    "not a list": (PREDICT, {"instances": {}}, "Expecting 'instances' to be an list/array"),
    "no values": (PREDICT, {"instances": []}, "No values in 'instances' array"),
    "no column": (PREDICT, {"inputs": []}, "at least one image"),
    "a column of text": (PREDICT, {"inputs": "x"}, "'inputs' has images"),
    "signature is a number": (PREDICT, {"signature_name": 1}, "must be a string value"),
    "unknown signature": (PREDICT, {"signature_name": "x", "instances": [b64(RED)]},
                          'Serving signature name: "x" not found'),
    "text": (PREDICT, {"instances": ["x"]}, "Failed to process element: 0 of 'instances' list"),
    "second is text": (PREDICT, {"instances": [b64(RED), "x"]}, "element: 1"),
    "another name": (PREDICT, {"instances": [{"x": b64(RED)}]}, "Received: 'x'"),
    "no name": (PREDICT, {"instances": [{}]}, "Received: none"),
    "another key": (PREDICT, {"instances": [{**b64(RED), "x": 1}]}, '"b64" alone'),
    "not base64": (PREDICT, {"instances": [{"b64": "?"}]}, "not in base64"),
    "base64 of a number": (PREDICT, {"instances": [{"b64": 1}]}, "Unable to base64 decode"),
    "no image": (PREDICT, {"instances": [b64(b"nonsense")]}, "Images are taken as"),
    "one is no image": (PREDICT, {"instances": [b64(RED), b64(b"x")]}, "Image 1 of 2"),
    "pixels of floats": (PREDICT, {"instances": [[[[0.5] * 3] * 32] * 32]}, "integers, 0 to 255"),
    "one row of pixels": (PREDICT, {"instances": [[[[1] * 3] * 32]]}, "Each image has"),
    "flat pixels": (PREDICT, {"instances": [1] * 3072}, "brackets or commas"),
    "too many": (PREDICT, {"instances": [b64(RED)] * 33}, "batch-size must be <= 32"),
    "no examples": (CLASSIFY, {"instances": [b64(RED)]}, "Missing 'examples' key"),
    "unknown label": (f"{MODEL}/labels/canary:predict", {"instances": [b64(RED)]},
                      "Unrecognized servable version label: canary"),
    "regress": (f"{MODEL}:regress", {"examples": [{}]}, f"Malformed request: POST {MODEL}:regress"),
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID)
def test_what_is_invalid_is_400(service: Service, name: str) -> None:
    path, body, message = INVALID[name]
    assert message in error_of(post(service.client, body, path))
    assert service.app.state.runtime.service.budget.used_bytes == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/foo"), ("GET", PREDICT), ("POST", f"{MODEL}/metadata"), ("GET", f"{MODEL}/")],
)
def test_what_there_is_not_is_malformed(service: Service, method: str, path: str) -> None:
    error = error_of(service.client.request(method, path))
    assert error == f"Malformed request: {method} {path}"


@pytest.mark.parametrize(
    ("path", "asked"),
    [("nope", "Latest(nope)"), (f"{MODEL_NAME}/versions/50", f"Specific({MODEL_NAME}, 50)")],
)
def test_an_unknown_model_or_version(service: Service, path: str, asked: str) -> None:
    text = f"Servable not found for request: {asked}"
    for suffix in ("", "/metadata"):
        assert error_of(service.client.get(f"/v1/models/{path}{suffix}"), 404) == text
    body = {"instances": [b64(RED)]}
    assert error_of(post(service.client, body, f"/v1/models/{path}:predict"), 404) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 256) | st.sampled_from(["", "b64", "AAAA"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["b64", "image", "pixels", "x"]), inner, max_size=2)
    ),
    max_leaves=12,
)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from(["instances", "inputs", "examples"]), JSON, max_size=2))
def test_no_value_is_a_fault_of_the_service(service: Service, body: dict[str, Any]) -> None:
    for path in (PREDICT, CLASSIFY):
        response = post(service.client, body, path)
        assert response.status_code in (200, 400), response.text
