"""POST /v2/models/{name}/infer: the Open Inference Protocol, with Triton's extensions for binary
tensors, classification and parameters.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from service.errors import MalformedRequest
from service.http.headers import SERVER_TIMING, TENSOR_HEADER_LENGTH
from service.http.paths import INFER, V2_MODEL, V2_VERSION
from service.http.protocols.description import description_of
from service.http.protocols.inference import Exchange, ExchangeDep
from service.http.protocols.v2_response import infer_response
from service.imaging.formats import FORMATS
from service.inference.model import Model
from service.inference.repository import VERSION
from service.protocols.asked import Asked
from service.protocols.json_text import parse_json
from service.protocols.model_metadata import unknown_model
from service.protocols.pixel_arrays import CHANNELS, pixels_of
from service.protocols.tensor_outputs import rows_or_error
from service.protocols.tensor_request import TensorRequest, default_outputs, tensor_request
from service.protocols.tensor_rows import ImageBuffer, Row, rows_of

# Of a file, enough for every format's signature.
SIGNATURE_BYTES = 32

router = APIRouter(tags=["Open Inference Protocol"])


@router.post(V2_MODEL + INFER, **description_of("The outputs of the images of one tensor"))
@router.post(V2_VERSION + INFER, include_in_schema=False)
async def infer(exchange: ExchangeDep) -> Response:
    named = exchange.request.path_params
    return await _infer(exchange, named["name"], named.get("version"))


async def _infer(exchange: Exchange, name: str, version: str | None) -> Response:
    """Raises ServiceError and its subclasses; the application's handler maps them."""
    asked = _Body(exchange.request, name, exchange.max_images)
    answered = await exchange.infer(name, version, asked.parse, unknown_model(name, version))
    result = answered.result
    response = await infer_response(
        rows_or_error(result),
        asked.outputs,
        labels=result.model.artifact.labels,
        identifier=asked.identifier,
        names=(name, version or VERSION),
    )
    response.headers[SERVER_TIMING] = answered.server_timing
    return response


class _Body:
    """What the body says of the answer: outputs, identifier."""

    def __init__(self, request: Request, name: str, max_images: int) -> None:
        self.outputs = default_outputs(binary=True)
        self.identifier = ""
        self._json_length = request.headers.get(TENSOR_HEADER_LENGTH)
        self._name = name
        self._max_images = max_images

    async def parse(self, raw: memoryview, model: Model, buffer: ImageBuffer) -> Asked:
        length = self._length(len(raw))
        if not length:
            return Asked(_only_row(raw, model), tuple(one.name for one in self.outputs))
        body = await parse_json(raw[:length])
        asked: TensorRequest = tensor_request(body, raw[length:], model=self._name)
        self.outputs, self.identifier = asked.outputs, asked.id
        rows = await rows_of(
            asked.tensor,
            buffer,
            size=model.artifact.manifest.preprocessing.crop_size,
            max_images=self._max_images,
            model=self._name,
        )
        names = tuple(one.name for one in asked.outputs)
        classes = asked.map_classes(model.artifact.labels)
        return Asked(rows, names, asked.timeout_ms, asked.priority, classes)

    def _length(self, body_bytes: int) -> int:
        """Bytes of JSON; 0 where the body is one image alone. Raises MalformedRequest."""
        text = self._json_length
        if text is None:
            return body_bytes
        if not (text.isascii() and text.removeprefix("-").isdecimal()):
            raise MalformedRequest(
                f"Unable to parse {TENSOR_HEADER_LENGTH}: it is a number of bytes. "
                f"Received: {text[:100]!r}"
            )
        # More digits than any limit has are not worth a number.
        length = int(text[:20])
        if not 0 <= length <= body_bytes:
            raise MalformedRequest(
                f"inference header size should be in range (0, {body_bytes}), got: {text[:100]}"
            )
        return length


def _only_row(raw: memoryview, model: Model) -> list[Row]:
    """Pixels where the body has as many bytes and no image's signature, else an encoded image."""
    size = model.artifact.manifest.preprocessing.crop_size
    start = bytes(raw[:SIGNATURE_BYTES])
    if len(raw) == size * size * CHANNELS and not any(
        known.may_read(start) for known in FORMATS.values()
    ):
        return list(pixels_of(raw, 1, size))
    return [raw]
