"""What OpenAPI says of POST /predict: its body, and an example of every answer."""

from __future__ import annotations

from typing import Any

from service.http.confidence import ABSTAIN_BELOW
from service.http.outputs.query import JSON_OPTIONS
from service.http.problem_details import EXAMPLE_REQUEST_ID, documented, example_problem
from service.http.request.media.form import PART
from service.http.request.media.json_images import ONE, SEVERAL
from service.http.schemas import OneImage, SeveralImages

IMAGE = {"type": "string", "format": "binary"}
TEXT = {"type": "string", "contentEncoding": "base64", "minLength": 1}
MODEL_EXAMPLE = {
    "name": "resnet50.keras_in1k",
    "checkpoint": "resnet50.keras_in1k",
    "precision": "bfloat16",
}
TIMING_EXAMPLE = {"decode": 5.1, "queue": 0.2, "inference": 27.4, "total": 34.0}
PREDICTIONS_EXAMPLE = [
    {"class_id": 967, "wnid": "n07920052", "label": "espresso", "probability": 0.9944},
    {"class_id": 968, "wnid": "n07930864", "label": "cup", "probability": 0.0023},
]
ANSWER_EXAMPLES: dict[str, Any] = {
    "one image": {
        "value": {
            "request_id": EXAMPLE_REQUEST_ID,
            "model": MODEL_EXAMPLE,
            "predictions": PREDICTIONS_EXAMPLE,
            "timing_ms": TIMING_EXAMPLE,
        }
    },
    "several images": {
        "value": {
            "request_id": EXAMPLE_REQUEST_ID,
            "model": MODEL_EXAMPLE,
            "results": [
                {"predictions": PREDICTIONS_EXAMPLE},
                {"error": example_problem(422, "invalid_image", "The image is empty: 0 bytes.")},
            ],
            "timing_ms": TIMING_EXAMPLE,
        }
    },
}
# Status -> code, description, and the detail of an example.
ERRORS: dict[int, tuple[str, str, str]] = {
    400: (
        "malformed_request",
        "The body is not what its headers say, or has no image",
        "The body is empty.",
    ),
    401: (
        "unauthorized",
        "API keys are set up, and there is none or an unknown one",
        "The API key is not known here.",
    ),
    403: (
        "forbidden",
        "The API key is turned off",
        "The API key of example-client has been turned off.",
    ),
    404: (
        "model_not_found",
        "The model is not served here",
        "This server does not serve 'resnet18'. It serves resnet50.keras_in1k; see /models.",
    ),
    408: (
        "upload_timeout",
        "The body took too long to arrive",
        "The body did not arrive within 30 s.",
    ),
    413: (
        "image_too_large",
        "Too many bytes, pixels, frames or images",
        "An image may have 50000000 pixels. Received: 60000 x 60000 = 3600000000",
    ),
    414: (
        "target_too_long",
        "The path and the query are too long, or have too many parameters",
        "A path and its query may have 4096 bytes. Received: 9000",
    ),
    415: (
        "unsupported_media_type",
        "Not an image format that is served",
        "Images are taken as JPEG, PNG, WEBP, AVIF, GIF, BMP, TIFF. Received: PDF",
    ),
    422: (
        "invalid_parameter",
        "An invalid parameter, or an image that can't be decoded",
        "top_k must be 1 to 1000 for resnet50.keras_in1k. Received: 1001",
    ),
    429: (
        "rate_limited",
        "This client has sent too many images or requests: try again after Retry-After",
        "example-client has sent too many requests. The next one may be sent in 0.4 s.",
    ),
    431: (
        "header_too_large",
        "Too many header fields, or too long ones",
        "A header may have 100 fields. Received: 101",
    ),
    500: (
        "inference_failed",
        "Inference failed; the cause is in the log",
        "Inference failed.",
    ),
    503: (
        "overloaded",
        "Loading, shutting down, or no room for this client: try again after Retry-After",
        "The wait is about 12.5 s, and 10 s is the limit.",
    ),
    504: (
        "deadline_exceeded",
        "No result before the deadline",
        "The deadline passed before there was a result.",
    ),
}


def description_of(max_files: int) -> dict[str, Any]:
    """Keyword arguments of the route. max_files: most images in one request."""
    return {
        "summary": "The most probable classes of each image",
        "description": (
            f"One image as the raw body, or one to {max_files} as multipart parts "
            f"named `{PART}`, or in base64 as JSON.\n\nOf several images, one that can't be "
            "decoded fails alone: its result has an `error`.\n\nWith `outputs` a result has an "
            "embedding, logits or class activation maps as well; in JSON, `outputs` and what "
            "belongs to it may be members of the body instead of the query."
        ),
        "response_model": OneImage | SeveralImages,
        "openapi_extra": {"requestBody": _request_body(max_files)},
        "responses": {
            200: {"content": {"application/json": {"examples": ANSWER_EXAMPLES}}},
            **{
                status: documented(status, code, description, detail)
                for status, (code, description, detail) in ERRORS.items()
            },
        },
    }


def _request_body(max_files: int) -> dict[str, Any]:
    texts = {"type": "array", "items": TEXT, "minItems": 1, "maxItems": max_files}
    parts = {"type": "array", "items": IMAGE, "minItems": 1, "maxItems": max_files}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": [PART], "properties": {PART: parts}},
                "encoding": {PART: {"contentType": "image/jpeg, image/png, image/webp, image/gif"}},
            },
            "image/*": {"schema": IMAGE},
            "application/json": {
                "schema": {"oneOf": [_images(ONE, TEXT), _images(SEVERAL, texts)]}
            },
        },
    }


def _images(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [name],
        "properties": {
            name: schema,
            ABSTAIN_BELOW: {"type": "number", "minimum": 0, "maximum": 1},
            **JSON_OPTIONS,
        },
        "additionalProperties": False,
    }
