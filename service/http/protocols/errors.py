"""Errors in other protocols than this service's own over HTTP: their statuses and their form.

The two tensor protocols have `{"error": text}`, OpenAI's an object in the place of the text.

For the Open Inference Protocol they are Triton's statuses, but for 400 where Triton answers 500 to
a request that can't be parsed. Those of TensorFlow Serving are the same for the same errors:
RESOURCE_EXHAUSTED 429, UNAVAILABLE 503, DEADLINE_EXCEEDED 504, INVALID_ARGUMENT 400.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from service.errors import (
    DeadlineExceeded,
    Forbidden,
    HeaderTooLarge,
    InferenceFailed,
    MalformedRequest,
    ModelNotFound,
    PayloadTooLarge,
    RateLimited,
    ServiceError,
    TargetTooLong,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unprocessable,
    UnsupportedEncoding,
    UnsupportedMedia,
    UploadTimeout,
)
from service.http.paths import EMBEDDINGS, V1, V2

# Clients take the text from this media type only, without a charset.
MEDIA_TYPE: Final = "application/json"

V2_STATUS: Mapping[type[ServiceError], int] = {
    ServiceError: 500,
    MalformedRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    ModelNotFound: 404,
    UploadTimeout: 408,
    # An image or a batch that is too large is an invalid argument; only a body is not.
    TooLarge: 400,
    PayloadTooLarge: 413,
    TargetTooLong: 414,
    HeaderTooLarge: 431,
    UnsupportedMedia: 400,
    UnsupportedEncoding: 415,
    Unprocessable: 400,
    RateLimited: 429,
    InferenceFailed: 500,
    Unavailable: 503,
    DeadlineExceeded: 504,
}
V1_STATUS: Mapping[type[ServiceError], int] = {**V2_STATUS}
# OpenAI's: its clients repeat what gets 408, 409, 429 or 500 and above.
OPENAI_STATUS: Mapping[type[ServiceError], int] = {**V2_STATUS}
OPENAI_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def statuses_on(path: str) -> Mapping[type[ServiceError], int] | None:
    """The table of the path's protocol; None for this service's own."""
    if path == EMBEDDINGS:
        return OPENAI_STATUS
    if path == V2 or path.startswith(V2 + "/"):
        return V2_STATUS
    return V1_STATUS if path == V1 or path.startswith(V1 + "/") else None


def error_body(path: str, status: int, code: str, text: str) -> dict[str, Any]:
    """In the form of the path's protocol."""
    return openai_error(status, code, text) if path == EMBEDDINGS else {"error": text}


def openai_error(status: int, code: str, text: str) -> dict[str, Any]:
    """As OpenAI's clients read it."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    kind = OPENAI_TYPES.get(status, kind)
    return {"error": {"message": text, "type": kind, "param": None, "code": code}}
