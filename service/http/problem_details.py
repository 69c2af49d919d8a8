"""Errors as RFC 9457 problem details: the one place where they become HTTP."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.errors import ServiceError
from service.observability.logging import bind_log_fields, request_id
from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


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
    return problem(error.status, error.code, str(error))


def documented(description: str) -> dict[str, Any]:
    """An entry of a route's `responses`: a problem, under the media type that it has."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def respond(body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    bind_log_fields(code=body["code"])
    return JSONResponse(body, body["status"], headers, media_type=MEDIA_TYPE)


def respond_to(error: ServiceError, metrics: Metrics) -> JSONResponse:
    """One of our errors, logged where it is ours to mend, and counted."""
    headers = {}
    if error.status == 500:
        logger.error("%s", error, exc_info=error.__cause__ or error)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    metrics.rejections.labels(error.code).inc()
    return respond(problem_of(error), headers)


def add_error_handlers(app: FastAPI, metrics: Metrics) -> None:
    """One handler for our errors, FastAPI's validation errors and the router's own."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, ServiceError):
            return respond_to(error, metrics)
        if isinstance(error, RequestValidationError):
            headers, body = {}, problem(422, "invalid_parameter", _validation_detail(error))
        else:
            error = cast(HTTPException, error)
            headers = dict(error.headers or {})
            code = HTTPStatus(error.status_code).name.lower()
            body = problem(
                error.status_code, code, f"{request.method} {request.url.path}: {error.detail}"
            )
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
