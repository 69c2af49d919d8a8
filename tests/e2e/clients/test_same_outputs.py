"""One picture through every protocol: every output the same to the last bit.

Each request has one image, so that all of them are batches of one.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import numpy.typing as npt
import pytest

from service.grpc.protos import inference_pb2 as v2
from service.grpc.protos import serving_pb2 as tf
from tests.e2e.conftest import Server, resnet, running
from tests.golden.reference import PHOTOS

pytestmark = pytest.mark.weights

MODEL = "resnet50.keras_in1k"
FILE = PHOTOS / "chelsea_cat.jpg"
PHOTO = FILE.read_bytes()
TEXT = base64.b64encode(PHOTO).decode()
LENGTH = "Inference-Header-Content-Length"
OUTPUTS = ("logits", "embedding", "class_activation_map")
SECONDS = 60.0

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ends:
    """One server's HTTP and gRPC."""

    precision: str
    http: httpx2.Client
    grpc: grpc.Channel

    def post(self, path: str, **request: Any) -> httpx2.Response:
        response: httpx2.Response = self.http.post(path, **request)
        assert response.status_code == 200, response.text
        return response

    def call(self, method: str, request: Any, answer: Any) -> Any:
        sent = request.SerializeToString()
        return answer.FromString(self.grpc.unary_unary(f"/{method}")(sent, timeout=SECONDS))


@pytest.fixture(scope="module", params=["float32", "int8"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    precision: str = request.param
    # Its artifact is built.
    built: Server = request.getfixturevalue(f"{precision}_server")
    assert built.url
    environment = {
        "RESNET_PRECISION": precision,
        "RESNET_MAX_BATCH_SIZE": "1",
        "RESNET_GRPC_PORT": "0",
        "RESNET_SELF_TEST_INTERVAL_SECONDS": "0",
        "RESNET_QUEUE_WAIT_LIMIT_SECONDS": "60",
    }
    with running(environment) as server:
        assert server.url, server.messages()
        port = server.said("gRPC listens on port ")
        with (
            httpx2.Client(base_url=server.url, timeout=SECONDS) as http,
            grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield Ends(precision, http, channel)


def packed(text: str) -> Array:
    return np.frombuffer(base64.b64decode(text), "<f4")


def of_result(result: Any, output: str, read: Callable[[Any], Array]) -> Array:
    if output != "class_activation_map":
        return read(result[output])
    (one,) = result["class_activation_maps"]
    return read(one["map"])


def numbers(values: Any) -> Array:
    return np.array(values, np.float32)


def predict(ends: Ends, output: str, encoding: str = "float") -> Array:
    query = {"outputs": output, "top_k": 1, "encoding_format": encoding}
    result = ends.post("/predict", params=query, files={"file": PHOTO}).json()
    return of_result(result, output, packed if encoding == "base64" else numbers)


def predict_json(ends: Ends, output: str) -> Array:
    body = {"image": TEXT, "outputs": [output]}
    result = ends.post("/predict", params={"top_k": 1}, json=body).json()
    return of_result(result, output, numbers)


def named_class(ends: Ends, output: str) -> Array:
    """Among others."""
    query: dict[str, Any] = {"outputs": output}
    if output == "class_activation_map":
        query["classes"] = "0,285,999"
    result = ends.post("/predict", params=query, files={"file": PHOTO}).json()
    if output == "class_activation_map":
        result[f"{output}s"] = result[f"{output}s"][1:2]
    return of_result(result, output, numbers)


def infer(ends: Ends, output: str, *, binary: bool) -> Array:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [TEXT]}
    wanted = {"name": output, "parameters": {"binary_data": binary}}
    answer = ends.post(f"/v2/models/{MODEL}/infer", json={"inputs": [tensor], "outputs": [wanted]})
    if not binary:
        return numbers(answer.json()["outputs"][0]["data"])
    return np.frombuffer(answer.content[int(answer.headers[LENGTH]) :], "<f4")


def signature(ends: Ends, output: str) -> Array:
    body = {"instances": [{"b64": TEXT}], "signature_name": output}
    return numbers(ends.post(f"/v1/models/{MODEL}:predict", json=body).json()["predictions"])


def grpc_infer(ends: Ends, output: str) -> Array:
    request = v2.ModelInferRequest(model_name=MODEL)
    request.inputs.add(name="image", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(struct.pack("<I", len(PHOTO)) + PHOTO)
    request.outputs.add(name=output)
    answer = ends.call("inference.GRPCInferenceService/ModelInfer", request, v2.ModelInferResponse)
    return np.frombuffer(answer.raw_output_contents[0], "<f4")


def grpc_predict(ends: Ends, output: str) -> Array:
    request = tf.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = MODEL, output
    tensor = request.inputs["image_bytes"]
    tensor.dtype = 7
    tensor.tensor_shape.dim.add(size=1)
    tensor.string_val.append(PHOTO)
    answer = ends.call("tensorflow.serving.PredictionService/Predict", request, tf.PredictResponse)
    return np.frombuffer(answer.outputs[output].tensor_content, "<f4")


def command(ends: Ends, output: str) -> Array:
    options = ["--json", f"--outputs={output}", "--top-k=1", f"--precision={ends.precision}"]
    done = resnet("predict", str(FILE), *options)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    return of_result(result, output, numbers)


FORMS: dict[str, Callable[[Ends, str], Array]] = {
    "predict": predict,
    "predict in base64": lambda ends, output: predict(ends, output, "base64"),
    "predict from JSON": predict_json,
    "predict of a named class": named_class,
    "v2": lambda ends, output: infer(ends, output, binary=False),
    "v1 signature": signature,
    "gRPC v2": grpc_infer,
    "gRPC signature": grpc_predict,
    "resnet predict": command,
}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("form", FORMS)
def test_an_output_has_the_same_bits(ends: Ends, form: str, output: str) -> None:
    expected = infer(ends, output, binary=True)
    assert expected.size == {"logits": 1000, "embedding": 2048, "class_activation_map": 49}[output]
    assert FORMS[form](ends, output).ravel().tobytes() == expected.tobytes()


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_openais_embeddings_have_the_same_bits(ends: Ends, encoding: str) -> None:
    body = {"model": MODEL, "input": TEXT, "encoding_format": encoding}
    (one,) = ends.post("/v1/embeddings", json=body).json()["data"]
    read = packed if encoding == "base64" else numbers
    found: Array = read(one["embedding"])
    assert found.tobytes() == infer(ends, "embedding", binary=True).tobytes()


@pytest.mark.parametrize("output", ["logits", "embedding"])
def test_what_is_scored_has_the_same_bits(ends: Ends, output: str, tmp_path: Path) -> None:
    scored = tmp_path / "scored.jsonl"
    options = [f"--outputs={output}", f"--precision={ends.precision}"]
    done = resnet("score", str(FILE), str(scored), *options)
    assert done.returncode == 0, done.stderr
    row = json.loads(scored.read_text())
    expected = infer(ends, output, binary=True)
    assert numbers(row[output]).tobytes() == expected.tobytes()
