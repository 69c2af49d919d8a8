"""TensorFlow Serving's API over gRPC, by messages with the published field numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.grpc.protos import inference_pb2 as v2
from service.grpc.protos import serving_pb2 as tf
from tests.service.conftest import MODEL_NAME
from tests.service.grpc.client import (
    INFER,
    MODEL,
    PREDICTION,
    Client,
    infer_request,
    predict_request,
)
from tests.service.http.protocols.v2 import SIZE
from tests.service.images import plain

RED, GREEN = plain("red"), plain("green")
PREDICT, CLASSIFY = f"{PREDICTION}/Predict", f"{PREDICTION}/Classify"
METADATA, STATUS = f"{PREDICTION}/GetModelMetadata", f"{MODEL}/GetModelStatus"


def array(tensor: tf.TensorProto) -> np.ndarray[Any, Any]:
    assert tensor.dtype == 1
    shape = [one.size for one in tensor.tensor_shape.dim]
    return np.frombuffer(tensor.tensor_content, "<f4").reshape(shape)


def pixels(**members: Any) -> tf.PredictRequest:
    request = predict_request()
    tensor = request.inputs["image_bytes"]
    tensor.Clear()
    tensor.dtype = 4
    for size in (1, SIZE, SIZE, 3):
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = bytes([255, 0, 0]) * SIZE * SIZE
    for name, value in members.items():
        setattr(tensor, name, value)
    return request


def examples(*images: bytes, name: str = "image") -> tf.ClassificationRequest:
    request = tf.ClassificationRequest()
    request.model_spec.name = MODEL_NAME
    for image in images:
        example = request.input.example_list.examples.add()
        example.features.feature[name].bytes_list.value.append(image)
    return request


def test_predict_gives_the_probabilities_of_v2(client: Client) -> None:
    """To the last bit."""
    answer = client.call(PREDICT, predict_request(RED, GREEN))
    assert array(answer.outputs["probabilities"]).argmax(axis=1).tolist() == [0, 1]
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (
        MODEL_NAME,
        1,
        "serving_default",
    )
    expected: v2.ModelInferResponse = client.call(INFER, infer_request(RED))
    for request in (predict_request(RED), pixels()):
        found = client.call(PREDICT, request).outputs["probabilities"].tensor_content
        assert found == expected.raw_output_contents[0]


def test_outputs_that_the_filter_names(client: Client) -> None:
    request = predict_request(RED)
    request.output_filter.extend(["logits", "embedding"])
    answer = client.call(PREDICT, request)
    assert sorted(answer.outputs) == ["embedding", "logits"]
    assert array(answer.outputs["embedding"]).shape == (1, 512)


def test_classify_names_the_classes_of_each_example(client: Client) -> None:
    request = examples(RED, GREEN)
    with_context = tf.ClassificationRequest(model_spec=request.model_spec)
    with_context.input.example_list_with_context.examples.extend(
        request.input.example_list.examples
    )
    for asked in (request, with_context):
        found = client.call(CLASSIFY, asked).result.classifications
        assert [one.classes[0].label for one in found] == ["red", "green"]
        assert [len(one.classes) for one in found] == [5, 5]
        assert found[0].classes[0].score > found[0].classes[1].score


def test_metadata_has_the_signature(client: Client) -> None:
    request = tf.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = MODEL_NAME
    answer = client.call(METADATA, request)
    packed = answer.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signature = tf.SignatureDefMap.FromString(packed.value).signature_def["serving_default"]
    assert signature.inputs["image_bytes"].dtype == 7
    assert [one.size for one in signature.outputs["probabilities"].tensor_shape.dim] == [-1, 5]
    del request.metadata_field[:]
    assert client.refusal(METADATA, request)[0] == "INVALID_ARGUMENT"
    request.metadata_field.append("other")
    assert client.refusal(METADATA, request)[0] == "INVALID_ARGUMENT"


def test_status(client: Client) -> None:
    request = tf.GetModelStatusRequest()
    request.model_spec.name = MODEL_NAME
    (status,) = client.call(STATUS, request).model_version_status
    assert (status.version, status.state, status.status.error_code) == (1, 30, 0)
    request.model_spec.name = "nope"
    assert client.refusal(STATUS, request) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(nope)",
    )


def spec(**members: Any) -> tf.PredictRequest:
    request = predict_request(RED)
    for name, value in members.items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    return request


def named(*names: str) -> tf.PredictRequest:
    request = predict_request(RED)
    tensor = tf.TensorProto()
    tensor.CopyFrom(request.inputs["image_bytes"])
    del request.inputs["image_bytes"]
    for name in names:
        request.inputs[name].CopyFrom(tensor)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (spec(name="nope"), "NOT_FOUND", "Servable not found for request: Latest(nope)"),
        (spec(version=50), "NOT_FOUND", f"Specific({MODEL_NAME}, 50)"),
        (spec(name=""), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (spec(version_label="x"), "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        (spec(signature_name="x"), "INVALID_ARGUMENT", 'signature name: "x" not found'),
        (named(), "INVALID_ARGUMENT", "takes one input"),
        (named("x"), "INVALID_ARGUMENT", "Received: 'x'"),
        (named("image", "pixels"), "INVALID_ARGUMENT", "takes one input"),
        (predict_request(b"nonsense"), "INVALID_ARGUMENT", "Images are taken as"),
        (pixels(dtype=1), "INVALID_ARGUMENT", "Received: type 1"),
        (pixels(tensor_content=b"1"), "INVALID_ARGUMENT", "pixels are"),
        (pixels(tensor_content=b""), "INVALID_ARGUMENT", "bytes in 'tensor_content'"),
        (pixels(dtype=7), "INVALID_ARGUMENT", "Encoded images are DT_STRING [N] or [N,1]"),
    ],
)
def test_what_is_wrong_has_a_status_and_a_reason(
    client: Client, request_: tf.PredictRequest, code: str, text: str
) -> None:
    found, reason = client.refusal(PREDICT, request_)
    assert found == code
    assert text in reason


@pytest.mark.parametrize(
    "request_",
    [examples(), examples(RED, name="x"), examples(b"nonsense"), examples(*[RED] * 33)],
    ids=["none", "another name", "no image", "too many"],
)
def test_examples_that_are_wrong(client: Client, request_: tf.ClassificationRequest) -> None:
    assert client.refusal(CLASSIFY, request_)[0] == "INVALID_ARGUMENT"


def test_the_label_and_the_version_of_what_is_served(client: Client) -> None:
    for request in (spec(version_label="stable"), spec(version=1), named("pixels")):
        assert client.call(PREDICT, request).outputs["probabilities"]
