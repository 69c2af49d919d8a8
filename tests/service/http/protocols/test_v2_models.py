"""GET /v2 and what is below it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from model_builder.errors import BuilderError
from service.inference.model import Model
from tests.service.conftest import MODEL_NAME, MakeModel, Serve, Service, TestClient
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.protocols.v2 import error_of, image_input, post
from tests.service.images import plain

MODEL = f"/v2/models/{MODEL_NAME}"
COMPUTED = ("compute_input", "compute_infer", "compute_output")
PATHS = (MODEL, f"{MODEL}/versions/1")


def get(service: Service, path: str) -> Any:
    response = service.client.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    return response.json()


def test_the_server(service: Service) -> None:
    body = get(service, "/v2")
    assert [*body] == ["name", "version", "extensions"]
    assert {"binary_tensor_data", "classification", "statistics"} <= {*body["extensions"]}
    assert get(service, "/v2/models") == {"models": [MODEL_NAME]}


def test_health_is_json_that_clients_read(service: Service) -> None:
    assert get(service, "/v2/health/live") == {"live": True}
    assert get(service, "/v2/health/ready") == {"ready": True}
    assert service.client.head("/v2/health/ready").status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_metadata_has_one_image_input_and_one_output(service: Service, path: str) -> None:
    assert get(service, path) == {
        "name": MODEL_NAME,
        "versions": ["1"],
        "platform": "tensorflow_float32",
        "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 32, 32, 3]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 5]}],
        "properties": {
            "logits": "FP32 [-1, 5]",
            "embedding": "FP32 [-1, 512]",
            "class_activation_map": "FP32 [-1, -1, 2, 2]",
        },
    }
    assert get(service, f"{path}/ready") == {"name": MODEL_NAME, "ready": True}


@pytest.mark.parametrize("path", PATHS)
def test_the_configuration_is_what_image_clients_read(service: Service, path: str) -> None:
    config = get(service, f"{path}/config")
    assert config["max_batch_size"] == 32
    (given,), (computed,) = config["input"], config["output"]
    assert given == {
        "name": "pixels",
        "data_type": "TYPE_UINT8",
        "format": "FORMAT_NHWC",
        "dims": [32, 32, 3],
    }
    assert computed == {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [5]}
    assert config["parameters"]["outputs"]["string_value"] == (
        "probabilities,logits,embedding,class_activation_map"
    )


def test_encoded_images_as_the_input_that_is_described(serve: Serve) -> None:
    """For clients that send what metadata has, such as perf_analyzer."""
    service = serve(v2_input="image")
    (given,) = get(service, MODEL)["inputs"]
    assert given == {"name": "image", "datatype": "BYTES", "shape": [-1, 1]}
    (given,) = get(service, f"{MODEL}/config")["input"]
    assert given == {
        "name": "image",
        "data_type": "TYPE_STRING",
        "format": "FORMAT_NONE",
        "dims": [1],
    }
    assert post(service.client, {"inputs": [image_input(plain("red"))]}).status_code == 200


@pytest.mark.parametrize(
    "path", [f"{MODEL}/stats", f"{MODEL}/versions/1/stats", "/v2/models/stats"]
)
def test_statistics_count_images_and_requests(service: Service, path: str) -> None:
    (none,) = get(service, path)["model_stats"]
    assert none["inference_count"] == none["last_inference"] == 0
    red = plain("red")
    assert post(service.client, {"inputs": [image_input(red, red, red)]}).status_code == 200
    assert post(service.client, {"inputs": [image_input(red, b"no image")]}).status_code == 400
    (stats,) = get(service, path)["model_stats"]
    assert (stats["name"], stats["version"]) == (MODEL_NAME, "1")
    assert stats["inference_count"] == 3
    assert stats["execution_count"] == len(service.engine.batches)
    assert stats["last_inference"] > 0
    detail = stats["inference_stats"]
    assert detail["fail"]["count"] == 1
    # perf_analyzer ends where the counts of the three differ.
    phases = [detail[name] for name in ("queue", *COMPUTED)]
    assert [one["count"] for one in (detail["success"], *phases)] == [1] * 5
    assert detail["success"]["ns"] >= sum(one["ns"] for one in phases)
    assert all(detail[name]["ns"] > 0 for name in COMPUTED)


@pytest.mark.parametrize("suffix", ["", "/ready", "/config", "/stats", "/versions/1"])
def test_an_unknown_model(service: Service, suffix: str) -> None:
    assert "unknown model: 'nope'" in error_of(service.client.get(f"/v2/models/nope{suffix}"), 404)


@pytest.mark.parametrize("suffix", ["", "/ready", "/config", "/stats"])
def test_an_unknown_version(service: Service, suffix: str) -> None:
    error_of(service.client.get(f"{MODEL}/versions/9{suffix}"), 404)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v2/", 404), ("GET", "/v2/nope", 404), ("GET", f"{MODEL}/", 404),
     ("GET", f"{MODEL}/infer", 405), ("POST", "/v2/health/ready", 405),
     ("GET", "/v2/repository/index", 405), ("POST", "/v2/repository/models/nope/load", 404)],
)  # fmt: skip
def test_what_there_is_not(service: Service, method: str, path: str, status: int) -> None:
    error_of(service.client.request(method, path), status)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": true}'])
def test_the_index(service: Service, body: bytes) -> None:
    response = service.client.post("/v2/repository/index", content=body)
    assert response.json() == [{"name": MODEL_NAME, "version": "1", "state": "READY"}]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready": 1}'])
def test_the_index_of_what_is_no_request(service: Service, body: bytes) -> None:
    error_of(service.client.post("/v2/repository/index", content=body))


def test_models_that_load_or_failed(
    start_app: Callable[..., TestClient], make_model: MakeModel
) -> None:
    waits, go_on = threading.Event(), threading.Event()

    def load(name: str) -> Model:
        if name == "resnet34":
            raise BuilderError("a secret of the operator's")
        if name == "resnet50":
            waits.set()
            go_on.wait(WAIT_SECONDS)
            raise BuilderError("the test is over")
        return make_model(name)

    client = start_app(load, model=MODEL_NAME, models="resnet34,resnet50")
    try:
        assert waits.wait(WAIT_SECONDS)
        index = client.post("/v2/repository/index").json()
        states = {one["name"]: one["state"] for one in index}
        assert states == {MODEL_NAME: "READY", "resnet34": "UNAVAILABLE", "resnet50": "LOADING"}
        assert "secret" not in str(index)
        ready = client.post("/v2/repository/index", content=b'{"ready": true}').json()
        assert [one["name"] for one in ready] == [MODEL_NAME]
        response = client.get("/v2/health/ready")
        assert response.status_code == 503
        assert response.json()["ready"] is False
        for path in ("/v2/models/resnet50/ready", "/v2/models/resnet50"):
            response = client.get(path)
            error_of(response, 503)
            assert response.headers["Retry-After"]
        response = post(client, {"inputs": []}, path="/v2/models/resnet50/infer")
        assert "loading" in error_of(response, 503)
        assert len(client.get("/v2/models/stats").json()["model_stats"]) == 1
    finally:
        go_on.set()
