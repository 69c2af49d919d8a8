"""Clients of Triton, KServe and TensorFlow Serving, as they are published, get the right class."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.e2e.clients.environments import results_of
from tests.e2e.conftest import Server
from tests.golden.reference import PHOTOS, pixels_of

pytestmark = pytest.mark.weights

MODEL = "resnet50.keras_in1k"
PHOTO = PHOTOS / "coffee_cup.jpg"
ESPRESSO = 967


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photo as the model's preprocessing crops it, for a client that decodes itself."""
    path = tmp_path_factory.mktemp("pixels") / "coffee_cup.npy"
    np.save(path, pixels_of(PHOTO))
    return path


@pytest.fixture(scope="module")
def triton(float32_server: Server, pixels: Path) -> dict[str, Any]:
    host = urlsplit(float32_server.url).netloc
    return results_of("tritonclient", "triton_http.py", host, MODEL, str(PHOTO), str(pixels))


@pytest.fixture(scope="module")
def kserve(float32_server: Server, pixels: Path) -> dict[str, Any]:
    arguments = (float32_server.url, MODEL, str(PHOTO), str(pixels))
    return results_of("kserve", "kserve_rest.py", *arguments)


@pytest.fixture(scope="module")
def tensorflow_serving(float32_server: Server, pixels: Path) -> dict[str, Any]:
    arguments = (float32_server.url, MODEL, str(PHOTO), str(pixels))
    return results_of("tritonclient", "tensorflow_serving_rest.py", *arguments)


def test_triton_s_client_finds_the_class_in_every_form(triton: dict[str, Any]) -> None:
    assert triton["encoded"] == triton["pixels"] == triton["aio"] == [ESPRESSO] * 2
    for form in ("pixels in JSON", "answer in JSON", "async"):
        assert triton[form] == [ESPRESSO], form
    assert triton["compressed"] == {"gzip": [ESPRESSO], "deflate": [ESPRESSO]}
    assert triton["embedding"] == [1, 2048]
    assert triton["id"] == "q"
    first, *others = triton["top 3"]
    assert first.split(":")[1:] == [str(ESPRESSO), "espresso"]
    assert len(others) == 2


def test_triton_s_client_reads_states_and_descriptions(triton: dict[str, Any]) -> None:
    states = ("live", "ready", "model ready", "aio ready", "unknown ready", "version 9 ready")
    assert [triton[state] for state in states] == [True, True, True, True, False, False]
    assert triton["metadata"]["name"] == triton["config"]["name"] == MODEL
    assert triton["statistics"] == MODEL
    assert "binary_tensor_data" in triton["server"]["extensions"]
    assert [model["state"] for model in triton["index"]] == ["READY"]


def test_triton_s_client_reads_errors(triton: dict[str, Any]) -> None:
    errors = triton["errors"]
    statuses = {name: status for name, (status, _) in errors.items()}
    timeout = statuses.pop("timeout")
    assert timeout in ("503", "504")
    assert statuses == {
        "bad image": "400",
        "datatype": "400",
        "unknown model": "404",
        "version": "404",
        "output": "400",
    }
    assert "'nope' is not found" in errors["unknown model"][1]


def test_kserve_s_client_of_v2(kserve: dict[str, Any]) -> None:
    found = kserve["v2"]
    assert found["live"] is found["ready"] is found["model ready"] is True
    assert found["unknown ready"] is False
    assert found["binary"] == [ESPRESSO] * 2
    assert found["base64"] == found["pixels"] == found["binary answer"] == [ESPRESSO]
    # Its message is the server's only where the media type is exactly application/json.
    assert "'nope' is not found" in found["unknown"]
    assert "data-type is 'FP32'" in found["datatype"]


def test_kserve_s_client_of_v1(kserve: dict[str, Any]) -> None:
    found = kserve["v1"]
    assert found["live"] is found["model ready"] is True
    assert found["predictions"] == [ESPRESSO] * 2
    assert "Servable not found for request: Latest(nope)" in found["unknown"]


def test_requests_of_tensorflow_serving_s_users(tensorflow_serving: dict[str, Any]) -> None:
    found = tensorflow_serving
    for form in ("b64", "named", "named columns"):
        assert found[form] == [ESPRESSO] * 2, form
    for form in ("rows", "columns", "signature", "version", "label"):
        assert found[form] == [ESPRESSO], form
    assert found["classify"][0] == "espresso"
    (version,) = found["model"]["model_version_status"]
    assert (version["version"], version["state"]) == ("1", "AVAILABLE")
    assert found["metadata"]["model_spec"]["name"] == MODEL
    assert (found["unknown"]["status"], found["missing"]["status"]) == (404, 400)
    assert found["missing"]["error"] == "Missing 'inputs' or 'instances' key"
