"""Bounds a request's target and header fields before anything parses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import HeaderTooLarge, ServiceError, TargetTooLong
from service.http.problem_details import respond_to
from service.observability.metrics import Metrics

# Those of nginx for one field and for all of them, and of Apache for their number.
MAX_FIELDS = 100
MAX_FIELD_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_TARGET_BYTES = 4 * 1024
# A parameter's share of the query costs more than its bytes.
MAX_PARAMETERS = 32
# Parsed for every route by the framework, in quadratic time by some versions of Python: 13 s for
# 32 KB. No route reads them.
IGNORED = b"cookie"


class HeaderLimitsMiddleware:
    """ASGI middleware: what the event loop parses takes it less than a few milliseconds."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                check_header(scope)
            except ServiceError as error:
                response = respond_to(error, self._metrics, scope["path"])
                await response(scope, receive, send)
                return
            # In its place: what is outside reads from the same scope which route was found.
            scope["headers"] = [field for field in scope["headers"] if field[0] != IGNORED]
        await self._app(scope, receive, send)


def check_header(scope: Mapping[str, Any]) -> None:
    """Raises HeaderTooLarge or TargetTooLong."""
    query: bytes = scope["query_string"]
    target_bytes = len(scope.get("raw_path") or scope["path"]) + len(query)
    if target_bytes > MAX_TARGET_BYTES:
        raise TargetTooLong(
            f"A path and its query may have {MAX_TARGET_BYTES} bytes. Received: {target_bytes}"
        )
    if (parameters := query.count(b"&") + 1) > MAX_PARAMETERS:
        raise TargetTooLong(f"A query may have {MAX_PARAMETERS} parameters. Received: {parameters}")
    fields: list[tuple[bytes, bytes]] = scope["headers"]
    if len(fields) > MAX_FIELDS:
        raise HeaderTooLarge(f"A header may have {MAX_FIELDS} fields. Received: {len(fields)}")
    lengths = [len(name) + len(value) for name, value in fields]
    if (longest := max(lengths, default=0)) > MAX_FIELD_BYTES:
        raise HeaderTooLarge(
            f"A header field may have {MAX_FIELD_BYTES} bytes. Received: {longest}"
        )
    if (header_bytes := sum(lengths)) > MAX_HEADER_BYTES:
        raise HeaderTooLarge(
            f"A header may have {MAX_HEADER_BYTES} bytes. Received: {header_bytes}"
        )


def exceeds_limits(scope: Mapping[str, Any]) -> bool:
    """Whether an HTTP request will be refused: what runs before the middleware passes it on."""
    try:
        check_header(scope)
    except ServiceError:
        return True
    return False
