"""TensorFlow Serving's published stubs, which need TensorFlow.

tensorflow_serving_calls.py HTTP_PORT GRPC_PORT MODEL PHOTO SIZE
"""

from __future__ import annotations

import sys

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

_, GRPC, MODEL, PHOTO, SIZE = sys.argv[1:]
SECONDS = 60.0
channel = grpc.insecure_channel(f"127.0.0.1:{GRPC}")
client = prediction_service_pb2_grpc.PredictionServiceStub(channel)
with open(PHOTO, "rb") as file:
    data = file.read()

request = predict_pb2.PredictRequest()
request.model_spec.name = MODEL
request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([data, data], dtype=tf.string))
answer = client.Predict(request, SECONDS)
found = tf.make_ndarray(answer.outputs["probabilities"])
assert found.shape[0] == 2
assert answer.model_spec.version.value == 1
shape = (1, int(SIZE), int(SIZE), 3)
request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(np.zeros(shape, np.uint8)))
assert (
    client.Predict(request, SECONDS).outputs["probabilities"].dtype == tf.float32.as_datatype_enum
)

request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(np.zeros((1, 3), np.float32)))
codes = []
for name in (MODEL, "nope"):
    request.model_spec.name = name
    try:
        client.Predict(request, SECONDS)
    except grpc.RpcError as error:
        codes.append(error.code().name)
assert codes == ["INVALID_ARGUMENT", "NOT_FOUND"], codes

asked = classification_pb2.ClassificationRequest()
asked.model_spec.name = MODEL
feature = asked.input.example_list.examples.add().features.feature["image"]
feature.bytes_list.value.append(data)
(classified,) = client.Classify(asked, SECONDS).result.classifications
assert abs(classified.classes[0].score - found[0].max()) < 1e-5

described = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
described.model_spec.name = MODEL
signatures = get_model_metadata_pb2.SignatureDefMap()
assert client.GetModelMetadata(described, SECONDS).metadata["signature_def"].Unpack(signatures)
assert "image_bytes" in signatures.signature_def["serving_default"].inputs

status = get_model_status_pb2.GetModelStatusRequest()
status.model_spec.name = MODEL
models = model_service_pb2_grpc.ModelServiceStub(channel)
(version,) = models.GetModelStatus(status, SECONDS).model_version_status
assert version.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
