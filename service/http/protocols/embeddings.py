"""POST /v1/embeddings: the pooled features of images, in the form of OpenAI's API."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Response

from service.fairness.paced import pause
from service.http.headers import SERVER_TIMING
from service.http.outputs.held_response import HeldResponse
from service.http.outputs.image_json import numbers_text
from service.http.paths import EMBEDDINGS
from service.http.protocols.description import CODES, ERRORS
from service.http.protocols.errors import MEDIA_TYPE, openai_error
from service.http.protocols.inference import ExchangeDep
from service.http.schemas import OpenAIError
from service.inference.outputs import unit_length
from service.protocols.asked import Asked
from service.protocols.json_text import parse_json
from service.protocols.outputs.embeddings_request import (
    EmbeddingsRequest,
    decode_inputs,
    embeddings_request,
)
from service.protocols.outputs.wanted import EMBEDDING
from service.protocols.tensor_outputs import rows_or_error
from service.protocols.tensor_rows import ImageBuffer

router = APIRouter(tags=["OpenAI"])

IMAGE = {"type": "string", "description": "A data: URL in base64, or base64 alone."}
BODY: dict[str, Any] = {
    "type": "object",
    "required": ["input"],
    "properties": {
        "model": {"type": "string", "description": "Default: the first model served."},
        "input": {"oneOf": [IMAGE, {"type": "array", "items": IMAGE, "minItems": 1}]},
        "encoding_format": {"type": "string", "enum": ["float", "base64"]},
        "normalized": {"type": "boolean", "description": "Divide by the Euclidean norm."},
        "user": {"type": "string", "description": "Ignored."},
    },
    "additionalProperties": False,
}
ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "object": {"const": "list"},
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "object": {"const": "embedding"},
                    "index": {"type": "integer"},
                    "embedding": {
                        "oneOf": [
                            {"type": "array", "items": {"type": "number"}},
                            {"type": "string", "description": "float32, little endian, in base64"},
                        ]
                    },
                },
            },
        },
        "model": {"type": "string"},
        "usage": {"type": "object", "description": "Zeros: images have no tokens."},
    },
}
USAGE = '{"prompt_tokens":0,"total_tokens":0}'


def _errors() -> dict[int | str, dict[str, Any]]:
    return {
        status: {
            "description": description,
            "model": OpenAIError,
            "content": {MEDIA_TYPE: {"example": openai_error(status, CODES[status], text)}},
        }
        for status, (description, text) in ERRORS.items()
    }


@router.post(
    EMBEDDINGS,
    summary="The embeddings of images",
    response_model=None,
    openapi_extra={"requestBody": {"required": True, "content": {MEDIA_TYPE: {"schema": BODY}}}},
    responses={
        200: {
            "description": "An embedding for each image",
            "content": {MEDIA_TYPE: {"schema": ANSWER}},
        },
        **_errors(),
    },
)
async def embeddings(exchange: ExchangeDep) -> Response:
    """Raises ServiceError and its subclasses; the application's handler maps them."""
    requests: list[EmbeddingsRequest] = []

    async def parse(raw: memoryview, buffer: ImageBuffer) -> Asked:
        asked = embeddings_request(await parse_json(raw), exchange.max_images)
        requests.append(asked)
        exchange.check_room(asked.model)
        await decode_inputs(asked, buffer)
        asked.images.clear()
        return Asked(list(buffer.images), (EMBEDDING,), model=asked.model)

    answered = await exchange.infer_named_in_body(parse)
    (asked,) = requests
    texts = []
    for index, row in enumerate(rows_or_error(answered.result)):
        values = row.outputs[EMBEDDING]
        if asked.normalized:
            values = unit_length(values)
        numbers = numbers_text(values, base64=asked.base64)
        texts.append(f'{{"object":"embedding","index":{index},"embedding":{numbers}}}')
        # A row takes the event loop a millisecond.
        await pause()
    model = json.dumps(asked.model or answered.result.model.name)
    body = f'{{"object":"list","data":[{",".join(texts)}],"model":{model},"usage":{USAGE}}}'
    headers = {SERVER_TIMING: answered.server_timing}
    return HeldResponse(body, media_type=MEDIA_TYPE, headers=headers)
