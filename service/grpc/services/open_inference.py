"""inference.GRPCInferenceService: the Open Inference Protocol v2, with Triton's extensions for
classification, parameters, statistics, model configuration, the repository's index and streams.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message as ProtobufMessage

from service.errors import InvalidParameter, MalformedRequest, ModelNotFound, ModelNotReady
from service.grpc.call import Call, Message
from service.grpc.inference import Inference, check_elements, unpacked_pixels
from service.grpc.protos import inference_pb2 as messages
from service.grpc.protos.pool import POOL
from service.grpc.services.infer_request import LONG_FIELDS, tensor_request_of
from service.grpc.wire import parse
from service.inference.model import Model
from service.inference.repository import VERSION
from service.protocols.asked import Asked
from service.protocols.bytes_tensor import join_elements
from service.protocols.model_metadata import (
    EXTENSIONS,
    SERVER_NAME,
    configuration,
    index,
    metadata,
    public_name,
    unknown_model,
)
from service.protocols.model_statistics import statistics
from service.protocols.tensor_outputs import OutputTensor, output_tensor, raw_row, rows_or_error
from service.protocols.tensor_request import InputTensor
from service.protocols.tensor_rows import Row, check_tensor, rows_of
from service.version import __version__

HTTP_EXTENSIONS = ("binary_tensor_data",)


class OpenInference:
    """The handlers of the service's methods."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._runtime = inference.runtime
        self._described = inference.runtime.settings.protocols.v2_input

    async def server_live(self, _call: Call) -> bytes:
        return _dump(messages.ServerLiveResponse(live=True))

    async def server_ready(self, _call: Call) -> bytes:
        return _dump(messages.ServerReadyResponse(ready=self._runtime.health().ready))

    async def model_ready(self, call: Call) -> bytes:
        """An unknown model is not ready."""
        asked = await call.receive_as(messages.ModelReadyRequest)
        try:
            model = self._runtime.service.model(asked.name, asked.version or None)
            problems = [*model.worker_problems(), *model.self_test_problems()]
            ready = not problems and not self._runtime.repository.draining
        except (ModelNotFound, ModelNotReady):
            ready = False
        return _dump(messages.ModelReadyResponse(ready=ready))

    async def server_metadata(self, _call: Call) -> bytes:
        extensions = [one for one in EXTENSIONS if one not in HTTP_EXTENSIONS]
        return _dump(
            messages.ServerMetadataResponse(
                name=SERVER_NAME, version=__version__, extensions=extensions
            )
        )

    async def model_metadata(self, call: Call) -> bytes:
        asked = await call.receive_as(messages.ModelMetadataRequest)
        model = self._model(asked.name, asked.version)
        return _filled(
            messages.ModelMetadataResponse(),
            metadata(asked.name, model, described=self._described),
        )

    async def model_config(self, call: Call) -> bytes:
        asked = await call.receive_as(messages.ModelConfigRequest)
        model = self._model(asked.name, asked.version)
        config = configuration(
            asked.name, model, self._inference.max_images, described=self._described
        )
        return _filled(messages.ModelConfigResponse(), {"config": config})

    async def model_statistics(self, call: Call) -> bytes:
        """Of all models where the request names none."""
        asked = await call.receive_as(messages.ModelStatisticsRequest)
        if asked.name:
            named = [(asked.name, self._model(asked.name, asked.version))]
        else:
            entries = self._runtime.repository.entries
            named = [(public_name(one), one.model) for one in entries if one.model is not None]
        found = [statistics(name, model, self._runtime.metrics) for name, model in named]
        return _filled(messages.ModelStatisticsResponse(), {"model_stats": found})

    async def repository_index(self, call: Call) -> bytes:
        asked = await call.receive_as(messages.RepositoryIndexRequest)
        if asked.repository_name:
            raise InvalidParameter("'repository_name' specification is not supported")
        rows = index(self._runtime.repository, ready_only=asked.ready)
        return _filled(messages.RepositoryIndexResponse(), {"models": rows})

    async def model_infer(self, call: Call) -> bytes:
        """Raises ServiceError."""
        self._inference.check_room(call)
        with await call.receive() as message:
            return _dump(await self.infer(call, message))

    async def infer(self, call: Call, message: Message) -> Any:
        """The ModelInferResponse to a ModelInferRequest. Raises ServiceError."""
        request, taken = parse(messages.ModelInferRequest, message.data, LONG_FIELDS)
        name, version = request.model_name, request.model_version or None
        asked = tensor_request_of(request, taken)
        del request, taken

        async def ask(model: Model) -> Asked:
            rows = await self._rows(asked.tensor, model, name)
            outputs = tuple(one.name for one in asked.outputs)
            classes = asked.map_classes(model.artifact.labels)
            return Asked(rows, outputs, asked.timeout_ms, asked.priority, classes)

        result = await self._inference.infer(
            call,
            message,
            ask,
            name=name,
            version=version,
            not_found=unknown_model(name, version),
        )
        rows, labels = rows_or_error(result), result.model.artifact.labels
        answer = messages.ModelInferResponse(
            model_name=name, model_version=version or VERSION, id=asked.id
        )
        for wanted in asked.outputs:
            tensor = output_tensor(rows, wanted, labels)
            answer.outputs.add(name=wanted.name, datatype=tensor.datatype, shape=tensor.shape)
            answer.raw_output_contents.append(_raw(tensor))
        return answer

    async def _rows(self, tensor: InputTensor, model: Model, name: str) -> list[Row]:
        size = model.artifact.manifest.preprocessing.crop_size
        limits: dict[str, Any] = {"size": size, "max_images": self._inference.max_images}
        raw, elements, integers = tensor.content
        if raw:
            content = InputTensor(tensor.name, tensor.datatype, tensor.shape, raw[0])
            return await rows_of(content, _NoBuffer(), **limits, model=name)
        count = check_tensor(tensor, **limits, model=name)
        if tensor.datatype == "BYTES":
            return check_elements(elements, count, tensor.name)
        return await unpacked_pixels(integers, count, size)

    def _model(self, name: str, version: str) -> Model:
        return self._inference.model(name, version or None, unknown_model(name, version or None))


class _NoBuffer:
    """Of what needs no decoding from text."""

    images: list[memoryview] = []  # noqa: RUF012

    def __len__(self) -> int:
        return 0

    def append(self, data: bytes | memoryview) -> None:
        raise MalformedRequest(f"There is no text in this protocol. Received: {len(data)} bytes")

    def add_image(self, start: int = 0) -> None:
        """Nothing is kept."""


def _raw(tensor: OutputTensor) -> bytes:
    return b"".join(
        raw_row(row) if isinstance(row, np.ndarray) else join_elements(one.encode() for one in row)
        for row in tensor.rows
    )


def _filled(message: ProtobufMessage, described: dict[str, Any]) -> bytes:
    return _dump(ParseDict(described, message, descriptor_pool=POOL))


def _dump(message: ProtobufMessage) -> bytes:
    return bytes(message.SerializeToString())
