"""A client of the service's own messages, over a real socket."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np

from service.grpc.protos import inference_pb2 as v2
from service.grpc.protos import serving_pb2 as tf
from tests.service.conftest import MODEL_NAME, Service
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.protocols.v2 import SIZE

V2, PREDICTION, MODEL = (
    "inference.GRPCInferenceService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)
HEALTH = "grpc.health.v1.Health"
INFER = f"{V2}/ModelInfer"
# The class of each method's answer.
ANSWERS: dict[str, Any] = {
    f"{V2}/{name}": getattr(v2, f"{name}Response")
    for name in (
        *("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata"),
        *("ModelConfig", "ModelInfer", "ModelStreamInfer", "ModelStatistics", "RepositoryIndex"),
    )
} | {
    f"{PREDICTION}/Predict": tf.PredictResponse,
    f"{PREDICTION}/Classify": tf.ClassificationResponse,
    f"{PREDICTION}/GetModelMetadata": tf.GetModelMetadataResponse,
    f"{MODEL}/GetModelStatus": tf.GetModelStatusResponse,
}


class Client:
    """metadata: of every call."""

    def __init__(self, channel: grpc.Channel, **metadata: str) -> None:
        self.channel = channel
        self._metadata = tuple((key.replace("_", "-"), value) for key, value in metadata.items())
        self.trailers: dict[str, str] = {}

    def raw(self, method: str, data: bytes, timeout: float | None = WAIT_SECONDS) -> bytes:
        """The bytes of the answer. Raises grpc.RpcError."""
        call = self.channel.unary_unary(f"/{method}")
        try:
            answer, ended = call.with_call(data, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            self.trailers = dict(error.trailing_metadata() or ())
            raise
        self.trailers = dict(ended.trailing_metadata() or ())
        assert isinstance(answer, bytes)
        return answer

    def call(self, method: str, request: Any, timeout: float | None = WAIT_SECONDS) -> Any:
        return ANSWERS[method].FromString(self.raw(method, request.SerializeToString(), timeout))

    def refusal(
        self, method: str, request: Any, timeout: float | None = WAIT_SECONDS
    ) -> tuple[str, str]:
        """The status's name and its text."""
        try:
            answer = self.call(method, request, timeout)
        except grpc.RpcError as error:
            return error.code().name, error.details()
        raise AssertionError(f"It was answered: {answer}")

    def stream(self, requests: Iterable[Any]) -> Iterator[Any]:
        call = self.channel.stream_stream(f"/{V2}/ModelStreamInfer")
        sent = (one.SerializeToString() for one in requests)
        for answer in call(sent, timeout=WAIT_SECONDS, metadata=self._metadata):
            yield v2.ModelStreamInferResponse.FromString(answer)


@contextmanager
def client_of(service: Service, **metadata: str) -> Iterator[Client]:
    port = service.app.state.grpc_port
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield Client(channel, **metadata)


def elements(*images: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in images)


def infer_request(
    *images: bytes, name: str = MODEL_NAME, typed: bool = False, **members: Any
) -> v2.ModelInferRequest:
    request = v2.ModelInferRequest(model_name=name, **members)
    tensor = request.inputs.add(name="image", datatype="BYTES", shape=[len(images)])
    if typed:
        tensor.contents.bytes_contents.extend(images)
    else:
        request.raw_input_contents.append(elements(*images))
    return request


def pixel_request(count: int = 1, *, typed: bool = False) -> v2.ModelInferRequest:
    """Red ones."""
    pixels = bytes([255, 0, 0]) * SIZE * SIZE * count
    request = v2.ModelInferRequest(model_name=MODEL_NAME)
    tensor = request.inputs.add(name="pixels", datatype="UINT8", shape=[count, SIZE, SIZE, 3])
    if typed:
        tensor.contents.uint_contents.extend(pixels)
    else:
        request.raw_input_contents.append(pixels)
    return request


def floats(answer: v2.ModelInferResponse, index: int = 0) -> np.ndarray[Any, Any]:
    tensor = answer.outputs[index]
    assert tensor.datatype == "FP32"
    values = np.frombuffer(answer.raw_output_contents[index], "<f4")
    found: np.ndarray[Any, Any] = values.reshape(*tensor.shape)
    return found


def predict_request(*images: bytes, name: str = MODEL_NAME) -> tf.PredictRequest:
    request = tf.PredictRequest()
    request.model_spec.name = name
    tensor = request.inputs["image_bytes"]
    tensor.dtype = "DT_STRING"
    tensor.tensor_shape.dim.add(size=len(images))
    tensor.string_val.extend(images)
    return request
