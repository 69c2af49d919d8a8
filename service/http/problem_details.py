"""Errors as RFC 9457 problem details: the only place where they become HTTP."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.errors import (
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
    UnsupportedMedia,
    UploadTimeout,
    entry_of,
)
from service.http.headers import RETRY_AFTER
from service.http.paths import PREDICT
from service.observability.logging import bind_log_fields, request_id
from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)

EXAMPLE_REQUEST_ID = "1f0c5c1c8d5b4a6f9d3f5d0b7a1e2c33"
INTERNAL_SERVER_ERROR = 500
# What a client is told where the service is at fault.
FAULT = "The service failed; the log has the cause, under the id of this request."
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
    """Where the service is at fault its message, which may hold paths, goes to the log alone: the
    client gets the code and the request's id. InferenceFailed's holds none.
    """
    status, detail = status_of(error), str(error)
    if status == INTERNAL_SERVER_ERROR:
        logger.error("%s", error, exc_info=error.__cause__ or error)
        detail = detail if isinstance(error, InferenceFailed) else FAULT
    return problem(status, error.code, detail)


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


def respond_to(error: ServiceError, metrics: Metrics) -> JSONResponse:
    """The response to a domain error, which is counted."""
    headers = {}
    status = status_of(error)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_seconds is not None:
        headers[RETRY_AFTER] = str(error.retry_after_seconds)
    metrics.rejections.labels(error.reason).inc()
    return respond(problem_of(error), headers)


def add_error_handlers(app: FastAPI, metrics: Metrics) -> None:
    """One handler for domain errors, FastAPI's validation errors and the router's own."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, ServiceError):
            return respond_to(error, metrics)
        if isinstance(error, RequestValidationError):
            headers, body = {}, problem(422, "invalid_parameter", _validation_detail(error))
        else:
            error = cast(HTTPException, error)
            headers = dict(error.headers or {})
            code = HTTPStatus(error.status_code).name.lower()
            detail = f"{request.method} {request.url.path}: {error.detail}"
            if error.status_code == 404 and request.url.path == PREDICT + "/":
                detail += f". Did you mean {PREDICT}, without the slash at the end?"
            body = problem(error.status_code, code, detail)
        if body["code"] != "not_found":
            metrics.rejections.labels(body["code"]).inc()
        return respond(body, headers)

    for kind in (ServiceError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)


def _validation_detail(error: RequestValidationError) -> str:
    return " ".join(
        f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}. Received: {one['input']!r}"
        for one in error.errors()
    )
