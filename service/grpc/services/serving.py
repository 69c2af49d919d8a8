"""tensorflow.serving.PredictionService and ModelService: TensorFlow Serving's API over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import ParseDict

from service.errors import InvalidParameter, MalformedRequest
from service.grpc.call import Call, Message
from service.grpc.inference import Inference
from service.grpc.protos import serving_pb2 as messages
from service.grpc.protos.pool import POOL
from service.grpc.wire import Fields, TakenOut, parse
from service.inference.model import Model
from service.inference.outputs import top_k
from service.inference.repository import VERSION
from service.inference.request import InferenceResult
from service.protocols.asked import Asked
from service.protocols.model_metadata import signature, unknown_servable, version_status
from service.protocols.pixel_arrays import CHANNELS, pixels_of
from service.protocols.predict_request import INPUTS, SIGNATURE, output_of
from service.protocols.tensor_outputs import raw_row, rows_or_error
from service.protocols.tensor_request import MAX_NAME_LENGTH, OUTPUT_NAMES, check_wanted
from service.protocols.tensor_rows import Row, check_count

DT_FLOAT, DT_UINT8, DT_STRING = 1, 4, 7
# The label of the version that is served.
STABLE = "stable"
SIGNATURE_DEF = "signature_def"
SIGNATURES_TYPE = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
PIXELS, IMAGES = "tensor_content", "string_val"
# PredictRequest.inputs: the value of an entry has pixels and images.
PREDICT_FIELDS: Fields = {2: {2: {4: PIXELS, 8: IMAGES}}}
# Input's examples: features, an entry's value, its bytes_list, the bytes.
_EXAMPLE: Fields = {1: {1: {2: {1: {1: IMAGES}}}}}
CLASSIFY_FIELDS: Fields = {2: {1: {1: _EXAMPLE}, 2: {1: _EXAMPLE}}}
# TensorFlow's codes of errors: those of gRPC.
ERROR_CODES = {"OK": 0, "UNKNOWN": 2}


class Serving:
    """The handlers of both services' methods."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def predict(self, call: Call) -> bytes:
        """Raises ServiceError."""
        self._inference.check_room(call)
        with await call.receive() as message:
            request, taken = parse(messages.PredictRequest, message.data, PREDICT_FIELDS)
            spec = request.model_spec
            name, _ = _named(spec)
            output = output_of(spec.signature_name)
            for wanted in request.output_filter:
                check_wanted(wanted, name)
            outputs = tuple(dict.fromkeys(request.output_filter)) or (output,)
            tensor = _input_of(request, name)
            result = await self._infer(call, message, spec, outputs, tensor, taken)
        rows = rows_or_error(result)
        answer = messages.PredictResponse(model_spec=_answered(name, spec.signature_name))
        for output in outputs:
            values = [row.outputs[output] for row in rows]
            made = answer.outputs[output]
            made.dtype = DT_FLOAT
            for length in (len(values), *values[0].shape):
                made.tensor_shape.dim.add(size=length)
            made.tensor_content = b"".join(map(raw_row, values))
        return bytes(answer.SerializeToString())

    async def classify(self, call: Call) -> bytes:
        """The most probable classes of each example's one image. Raises ServiceError."""
        self._inference.check_room(call)
        with await call.receive() as message:
            request, taken = parse(messages.ClassificationRequest, message.data, CLASSIFY_FIELDS)
            spec = request.model_spec
            name, _ = _named(spec)
            if output_of(spec.signature_name) != OUTPUT_NAMES[0]:
                raise InvalidParameter(f'Only the signature "{SIGNATURE}" classifies.')
            _check_examples(request.input, taken)
            result = await self._infer(call, message, spec, OUTPUT_NAMES[:1], None, taken)
        model = result.model
        answer = messages.ClassificationResponse(model_spec=_answered(name))
        for row in rows_or_error(result):
            classes = answer.result.classifications.add().classes
            probabilities = row.outputs[OUTPUT_NAMES[0]]
            for one in top_k(probabilities, model.artifact.labels, model.top_k(None)):
                classes.add(label=one.label, score=one.probability)
        return bytes(answer.SerializeToString())

    async def get_model_metadata(self, call: Call) -> bytes:
        """Raises ServiceError."""
        request = await call.receive_as(messages.GetModelMetadataRequest)
        if not request.metadata_field:
            raise InvalidParameter("Metadata field not specified. There is 'signature_def'.")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise InvalidParameter(
                    f"Metadata field {field[:MAX_NAME_LENGTH]} is not supported. "
                    "There is 'signature_def'."
                )
        name, version = _named(request.model_spec)
        model = self._inference.model(name, version, unknown_servable(name, version))
        described = signature(name, model)["metadata"][SIGNATURE_DEF]
        signatures = ParseDict(described, messages.SignatureDefMap(), descriptor_pool=POOL)
        answer = messages.GetModelMetadataResponse(model_spec=_answered(name))
        packed = answer.metadata[SIGNATURE_DEF]
        packed.type_url, packed.value = SIGNATURES_TYPE, signatures.SerializeToString()
        return bytes(answer.SerializeToString())

    async def get_model_status(self, call: Call) -> bytes:
        """Raises ServiceError."""
        request = await call.receive_as(messages.GetModelStatusRequest)
        name, version = _named(request.model_spec)
        entry = self._inference.entry(name, version, unknown_servable(name, version))
        status = version_status(entry)
        error = status["status"]
        answer = messages.GetModelStatusResponse()
        answer.model_version_status.add(
            version=int(status["version"]),
            state=status["state"],
            status=messages.StatusProto(
                error_code=ERROR_CODES[error["error_code"]], error_message=error["error_message"]
            ),
        )
        return bytes(answer.SerializeToString())

    async def _infer(
        self,
        call: Call,
        message: Message,
        spec: Any,
        outputs: Sequence[str],
        tensor: Any,
        taken: TakenOut,
    ) -> InferenceResult:
        """tensor: a TensorProto, or None where the images are examples'."""
        name, version = _named(spec)
        contents = {kind: taken.pop(kind, []) for kind in (PIXELS, IMAGES)}

        async def ask(model: Model) -> Asked:
            images, pixels = contents.pop(IMAGES), contents.pop(PIXELS)
            if tensor is None:
                check_count(len(images), self._inference.max_images, name)
                return Asked(list(images), tuple(outputs))
            size = model.artifact.manifest.preprocessing.crop_size
            rows = _rows(tensor, images, pixels, size, self._inference.max_images, name)
            return Asked(rows, tuple(outputs))

        return await self._inference.infer(
            call,
            message,
            ask,
            name=name,
            version=version,
            not_found=unknown_servable(name, version),
        )


def _named(spec: Any) -> tuple[str, str | None]:
    """The model's name and version. Raises InvalidParameter."""
    if not spec.name:
        raise InvalidParameter("Missing ModelSpec: the name of the model.")
    if spec.version_label not in ("", STABLE):
        label = spec.version_label[:MAX_NAME_LENGTH]
        raise InvalidParameter(f"Unrecognized servable version label: {label}")
    return spec.name, str(spec.version.value) if spec.HasField("version") else None


def _answered(name: str, signature_name: str = "") -> Any:
    spec = messages.ModelSpec(name=name, signature_name=signature_name or SIGNATURE)
    spec.version.value = int(VERSION)
    return spec


def _input_of(request: Any, model: str) -> Any:
    """The one image tensor. Raises InvalidParameter."""
    given = [*request.inputs]
    if len(given) != 1 or given[0] not in INPUTS:
        received = ", ".join(repr(one[:MAX_NAME_LENGTH]) for one in given[:8]) or "none"
        raise InvalidParameter(
            f"Model '{model}' takes one input, named {', '.join(INPUTS)}. Received: {received}"
        )
    return request.inputs[given[0]]


def _rows(
    tensor: Any,
    images: list[memoryview],
    pixels: list[memoryview],
    size: int,
    max_images: int,
    model: str,
) -> list[Row]:
    """Raises InvalidParameter, MalformedRequest or TooManyImages."""
    shape = [one.size for one in tensor.tensor_shape.dim]
    if tensor.dtype == DT_STRING:
        count = shape[0] if shape else 1
        if min(shape, default=1) < 0 or shape[1:] not in ([], [1]):
            raise InvalidParameter(f"Encoded images are DT_STRING [N] or [N,1]. Received: {shape}")
        check_count(count, max_images, model)
        if len(images) != count or pixels:
            raise MalformedRequest(
                f"'string_val' has an encoded image for each of {count}. Received: {len(images)}"
            )
        return list(images)
    if tensor.dtype != DT_UINT8:
        raise InvalidParameter(
            f"Model '{model}' takes DT_UINT8 for pixels or DT_STRING for encoded images. "
            f"Received: type {tensor.dtype}"
        )
    if len(shape) != 4 or shape[1:] != [size, size, CHANNELS] or shape[0] < 0:
        raise InvalidParameter(
            f"Pixels are DT_UINT8 [N,{size},{size},{CHANNELS}]. Received: {shape}"
        )
    check_count(shape[0], max_images, model)
    if len(pixels) != 1 or images:
        raise InvalidParameter("Pixels are bytes in 'tensor_content'.")
    return list[Row](pixels_of(pixels[0], shape[0], size))


def _check_examples(given: Any, taken: TakenOut) -> None:
    """Raises MalformedRequest where an example is not one image under a name of the input."""
    kind = given.WhichOneof("kind")
    examples = getattr(given, kind).examples if kind else []
    for index, example in enumerate(examples):
        features = {
            name: len(feature.bytes_list.value)
            for name, feature in example.features.feature.items()
        }
        if len(features) != 1 or next(iter(features.items())) not in {(one, 1) for one in INPUTS}:
            raise MalformedRequest(
                f"Example {index} has one feature with one encoded image, named "
                f"{', '.join(INPUTS)}."
            )
    if len(examples) != len(taken.get(IMAGES, ())):
        raise MalformedRequest("Images are in 'examples' alone.")
