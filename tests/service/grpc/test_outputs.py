"""Every output through every tensor protocol: over HTTP and gRPC the same bits."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from service.grpc.protos import inference_pb2 as v2
from service.grpc.protos import serving_pb2 as tf
from tests.service.conftest import MODEL_NAME, Service
from tests.service.grpc.client import INFER, PREDICTION, Client, infer_request
from tests.service.http.protocols.v2 import image_input, post, tensors
from tests.service.images import encoded, noise

PREDICT, CLASSIFY = f"{PREDICTION}/Predict", f"{PREDICTION}/Classify"
IMAGE = encoded(noise(40, 40))
SHAPES = {
    "probabilities": [1, 5],
    "logits": [1, 5],
    "embedding": [1, 512],
    "class_activation_map": [1, 1, 2, 2],
}
each_output = pytest.mark.parametrize("output", SHAPES)

Array = npt.NDArray[np.float32]


def expected(service: Service, output: str, **parameters: Any) -> Array:
    asked = {"name": output, "parameters": {"binary_data": True, **parameters}}
    body = {"inputs": [image_input(IMAGE)], "outputs": [asked]}
    found: Array = tensors(post(service.client, body))[output]
    return found


def of_grpc(client: Client, output: str, **parameters: v2.InferParameter) -> Array:
    request = infer_request(IMAGE)
    wanted = request.outputs.add(name=output)
    for name, value in parameters.items():
        wanted.parameters[name].CopyFrom(value)
    answer = client.call(INFER, request)
    (described,) = answer.outputs
    assert described.datatype == "FP32"
    found: Array = np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(described.shape)
    return found


def predict_request(signature: str = "") -> tf.PredictRequest:
    request = tf.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = MODEL_NAME, signature
    tensor = request.inputs["image_bytes"]
    tensor.dtype = 7
    tensor.tensor_shape.dim.add(size=1)
    tensor.string_val.append(IMAGE)
    return request


def of_serving(answer: tf.PredictResponse, output: str) -> Array:
    assert [*answer.outputs] == [output]
    tensor = answer.outputs[output]
    shape = [one.size for one in tensor.tensor_shape.dim]
    return np.frombuffer(tensor.tensor_content, "<f4").reshape(shape)


@each_output
def test_an_output_has_the_same_bits_everywhere(
    service: Service, client: Client, output: str
) -> None:
    binary = expected(service, output)
    assert [*binary.shape] == SHAPES[output]
    asked = {"inputs": [image_input(IMAGE)], "outputs": [{"name": output}]}
    signature = "serving_default" if output == "probabilities" else output
    filtered = predict_request()
    filtered.output_filter.append(output)
    body = {"instances": [{"b64": image_input(IMAGE)["data"][0]}], "signature_name": signature}
    rest = service.client.post(f"/v1/models/{MODEL_NAME}:predict", json=body).json()
    found = {
        "JSON": tensors(post(service.client, asked))[output],
        "gRPC": of_grpc(client, output),
        "signature": of_serving(client.call(PREDICT, predict_request(signature)), output),
        "filter": of_serving(client.call(PREDICT, filtered), output),
        "REST": np.array(rest["predictions"], np.float32),
    }
    for name, values in found.items():
        assert [*values.shape] == SHAPES[output], name
        assert values.tobytes() == binary.tobytes(), name


def test_maps_of_named_and_of_the_best_classes(service: Service, client: Client) -> None:
    named = expected(service, "class_activation_map", classes="4, n00000002")
    assert named.shape == (1, 2, 2, 2)
    best = expected(service, "class_activation_map", top_k=5)
    order = np.argsort(-expected(service, "logits")[0], kind="stable")
    for place, index in enumerate((4, 1)):
        assert named[0, place].tobytes() == best[0, order.tolist().index(index)].tobytes()
    text = v2.InferParameter(string_param="4,1")
    assert of_grpc(client, "class_activation_map", classes=text).tobytes() == named.tobytes()
    asked = {"outputs": "class_activation_map", "classes": "4,1", "encoding_format": "base64"}
    answer = service.client.post("/predict", files={"file": IMAGE}, params=asked).json()
    maps = [base64.b64decode(one["map"]) for one in answer["class_activation_maps"]]
    assert b"".join(maps) == named.tobytes()
    count = v2.InferParameter(int64_param=5)
    assert of_grpc(client, "class_activation_map", top_k=count).tobytes() == best.tobytes()


def test_an_embedding_of_length_one(service: Service, client: Client) -> None:
    unit = expected(service, "embedding", normalized=True)
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
    flag = v2.InferParameter(bool_param=True)
    assert of_grpc(client, "embedding", normalized=flag).tobytes() == unit.tobytes()


def test_a_signature_that_is_none_or_does_not_classify(service: Service, client: Client) -> None:
    code, text = client.refusal(PREDICT, predict_request("nope"))
    assert (code, "not found in signature def" in text) == ("INVALID_ARGUMENT", True)
    request = tf.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = MODEL_NAME, "embedding"
    assert client.refusal(CLASSIFY, request)[0] == "INVALID_ARGUMENT"
    body = {"examples": [{"image": {"b64": ""}}], "signature_name": "logits"}
    answer = service.client.post(f"/v1/models/{MODEL_NAME}:classify", json=body)
    assert answer.status_code == 400
    assert "serving_default" in answer.json()["error"]
