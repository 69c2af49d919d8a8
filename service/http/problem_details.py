"""Errors as RFC 9457 problem details, or as a tensor protocol has them: where they become HTTP."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.errors import (
    FAULT,
    DeadlineExceeded,
    Forbidden,
    HeaderTooLarge,
    InferenceFailed,
    MalformedRequest,
    ModelNotFound,
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
    entry_of,
)
from service.http.headers import RETRY_AFTER
from service.http.paths import PREDICT
from service.http.protocols.errors import MEDIA_TYPE as TENSOR_MEDIA_TYPE
from service.http.protocols.errors import V1_STATUS, error_body, statuses_on
from service.observability.logging import bind_log_fields, request_id
from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)

EXAMPLE_REQUEST_ID = "1f0c5c1c8d5b4a6f9d3f5d0b7a1e2c33"
INTERNAL_SERVER_ERROR = 500
MEDIA_TYPE = "application/problem+json"
# A subclass has its base's status unless it has its own.
STATUS: dict[type[ServiceError], int] = {
    ServiceError: 500,
    MalformedRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    ModelNotFound: 404,
    UploadTimeout: 408,
    TooLarge: 413,
    TargetTooLong: 414,
    UnsupportedMedia: 415,
    Unprocessable: 422,
    RateLimited: 429,
    HeaderTooLarge: 431,
    InferenceFailed: 500,
    Unavailable: 503,
    DeadlineExceeded: 504,
}


def status_of(error: ServiceError | type[ServiceError]) -> int:
    """The HTTP status of an error or a class of errors."""
    return entry_of(error, STATUS)


def status_on(path: str, error: ServiceError | type[ServiceError]) -> int:
    """The HTTP status of an error or a class of errors in the protocol of that path or route."""
    return entry_of(error, statuses_on(path) or STATUS)


def problem(status: int, code: str, detail: str) -> dict[str, Any]:
    """The body. `code` names the error to programs; `detail` is for people."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id.get(),
    }


def problem_of(error: ServiceError) -> dict[str, Any]:
    """What `respond_to` answers on a path of this service's own protocol."""
    status = status_of(error)
    return problem(status, error.code, _detail(error, status))


def _detail(error: ServiceError, status: int) -> str:
    """Where the service is at fault its message, which may hold paths, goes to the log alone: the
    client gets the code and the request's id. InferenceFailed's holds none.
    """
    if status != INTERNAL_SERVER_ERROR:
        return str(error)
    logger.error("%s", error, exc_info=error.__cause__ or error)
    return str(error) if isinstance(error, InferenceFailed) else FAULT


def example_problem(status: int, code: str, detail: str) -> dict[str, Any]:
    """A body for documentation."""
    return {**problem(status, code, detail), "request_id": EXAMPLE_REQUEST_ID}


def documented(status: int, code: str, description: str, detail: str) -> dict[str, Any]:
    """An entry of a route's `responses`: a problem with an example of its own.

    detail: what the example says.
    """
    example = example_problem(status, code, detail)
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {MEDIA_TYPE: {"schema": schema, "example": example}}
    return {"description": description, "content": content}


def respond(body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    bind_log_fields(code=body["code"])
    return JSONResponse(body, body["status"], headers, media_type=MEDIA_TYPE)


def respond_on(
    path: str, status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An error in the form of the path's protocol."""
    if statuses_on(path) is None:
        return respond(problem(status, code, detail), headers)
    bind_log_fields(code=code)
    return JSONResponse(error_body(path, status, code, detail), status, headers)


def respond_to(error: ServiceError, metrics: Metrics, path: str) -> JSONResponse:
    """The response to a domain error, which is counted. path: of the request."""
    headers = {}
    status = status_on(path, error)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, UnsupportedEncoding):
        headers["Accept-Encoding"] = "gzip, deflate"
    if error.retry_after_seconds is not None:
        headers[RETRY_AFTER] = str(error.retry_after_seconds)
    metrics.rejections.labels(error.reason).inc()
    return respond_on(path, status, error.code, _detail(error, status), headers)


# In the place of what an error says.
MARK = "\0"


class ErrorText:
    """The text of the errors of one kind on one route, made but for what each says."""

    def __init__(self, route: str, status: int, code: str) -> None:
        self.media_type = TENSOR_MEDIA_TYPE
        text = json.dumps(error_body(route, status, code, MARK), separators=(",", ":"))
        self._beginning, self._ending = text.split(json.dumps(MARK))
        self._has_id = False
        if statuses_on(route) is None:
            self.media_type = MEDIA_TYPE
            members = problem(status, code, "")
            del members["detail"], members["request_id"]
            text = json.dumps(members, separators=(",", ":")).removesuffix("}")
            self._beginning, self._ending, self._has_id = f'{text},"detail":', "}", True

    def of(self, detail: str, identifier: str) -> bytes:
        """identifier: the request's, of characters that JSON need not escape."""
        identified = f',"request_id":"{identifier}"' if self._has_id else ""
        text = json.dumps(detail, ensure_ascii=False)
        return f"{self._beginning}{text}{identified}{self._ending}".encode()


# What `curl -T` is used for, and a browser's line of addresses.
UPLOAD = f"curl -F file=@photo.jpg http://HOST:PORT{PREDICT}"


def add_error_handlers(app: FastAPI, metrics: Metrics) -> None:
    """One handler for domain errors, FastAPI's validation errors and the router's own."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        path, headers = request.url.path, {}
        if isinstance(error, ServiceError):
            return respond_to(error, metrics, path)
        if isinstance(error, RequestValidationError):
            status, code, detail = 422, "invalid_parameter", _validation_detail(error)
            if statuses_on(path) is not None:
                status = 400
        else:
            error = cast(HTTPException, error)
            headers = dict(error.headers or {})
            if headers.get("Allow") == "GET":
                # Routes declare GET alone: service/http/middleware/head.py.
                headers["Allow"] = "GET, HEAD"
            status, code = error.status_code, HTTPStatus(error.status_code).name.lower()
            detail = f"{request.method} {path}: {error.detail}"
            if statuses_on(path) is V1_STATUS:
                # TensorFlow Serving's answer to what is none of its paths and methods.
                status, detail = 400, f"Malformed request: {request.method} {path}"
            elif request.method == "PUT" or (status == 405 and path == PREDICT):
                detail += f". Images are sent by POST: {UPLOAD}"
            elif status == 404 and path == PREDICT + "/":
                detail += f". Did you mean {PREDICT}, without the slash at the end?"
        if code != "not_found":
            metrics.rejections.labels(code).inc()
        return respond_on(path, status, code, detail, headers)

    for kind in (ServiceError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)


def _validation_detail(error: RequestValidationError) -> str:
    return " ".join(
        f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}. Received: {one['input']!r}"
        for one in error.errors()
    )
