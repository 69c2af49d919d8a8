"""What OpenAPI says of the tensor protocols' routes: every status, and `{"error": text}`."""

from __future__ import annotations

from typing import Any

from service.http.protocols.errors import MEDIA_TYPE
from service.http.schemas import TensorError

IMAGE_BODY = {"type": "string", "format": "binary"}
ERRORS: dict[int, tuple[str, str]] = {
    400: ("The request, a tensor or an image is not valid", "'inputs' is an array of objects."),
    401: ("An API key is required", "The API key is not known here."),
    403: ("The API key is turned off", "The API key of example-client has been turned off."),
    404: ("No such model or version", "Request for unknown model: 'nope' is not found"),
    408: ("The body took too long to arrive", "The body did not arrive within 30 s."),
    413: ("Too many bytes", "A body may have 20971520 bytes. Received: at least 20971521"),
    414: ("The path is too long", "A path and its query may have 4096 bytes. Received: 9000"),
    415: ("A compression that is not supported", "A body may be compressed by gzip or deflate."),
    429: ("Too many requests or images", "example-client has sent too many requests."),
    431: ("Too many header fields", "A header may have 100 fields. Received: 101"),
    500: ("Inference failed", "Inference failed."),
    503: ("No room now: try again after Retry-After", "The wait is about 12.5 s."),
    504: ("No result before the deadline", "The deadline passed before there was a result."),
}
# Of the same errors, an example of each one's code.
CODES = {
    400: "invalid_parameter",
    401: "unauthorized",
    403: "forbidden",
    404: "model_not_found",
    408: "upload_timeout",
    413: "payload_too_large",
    414: "target_too_long",
    415: "unsupported_encoding",
    429: "rate_limited",
    431: "header_too_large",
    500: "inference_failed",
    503: "overloaded",
    504: "deadline_exceeded",
}
# A name that is any text: one that FastAPI validates would bring a status of its own, 422.
NAME = {
    "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
}
# Of a route that reads no body and infers nothing.
READING = (400, 401, 403, 404, 414, 429, 431, 500, 503)


def errors_of(statuses: tuple[int, ...] = tuple(ERRORS)) -> dict[int | str, dict[str, Any]]:
    """Entries of a route's `responses`."""
    return {
        status: {
            "description": ERRORS[status][0],
            "model": TensorError,
            "content": {MEDIA_TYPE: {"example": {"error": ERRORS[status][1]}}},
        }
        for status in statuses
    }


def description_of(summary: str, schema: dict[str, Any] | None = None) -> Any:
    """Keyword arguments of a route of inference. schema: of the JSON in its body and answer."""
    body = schema or {"type": "object"}
    media_types = {"application/json": {"schema": body}}
    if schema is None:
        media_types["application/octet-stream"] = {"schema": IMAGE_BODY}
    return {
        "summary": summary,
        "response_model": None,
        "openapi_extra": {**NAME, "requestBody": {"required": True, "content": media_types}},
        "responses": {200: {"description": "The outputs", "content": media_types}, **errors_of()},
    }
