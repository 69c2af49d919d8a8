"""Responses of the connection itself: to what is no HTTP, and to what there is no room for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus

from starlette.datastructures import Headers

from service.http.headers import REQUEST_ID, RETRY_AFTER
from service.http.problem_details import MEDIA_TYPE, problem
from service.http.request.request_id import identifier_of

RawHeaders = Iterable[tuple[bytes, bytes]]


class Refusal(Exception):
    """The connection is closed after it. Raised within the parser's callbacks."""

    def __init__(
        self, status: int, code: str, detail: str, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


def malformed(detail: str) -> Refusal:
    """What was sent is no HTTP/1.1 or HTTP/1.0 request, or one that servers read differently."""
    return Refusal(400, "malformed_request", detail)


def too_many(detail: str) -> Refusal:
    return Refusal(503, "too_many_connections", detail, retry_after_seconds=1)


def response(
    refusal: Refusal,
    *,
    request_headers: RawHeaders = (),
    http_version: str = "1.1",
    default_headers: RawHeaders = (),
    head: bool = False,
) -> bytes:
    """The response, whole, that ends the connection.

    request_headers: as far as they are known; the request's id is taken from them.
    default_headers: the server's. head: the request's method is HEAD, so no body follows.
    """
    identifier = identifier_of(Headers(raw=list(request_headers)))
    content = {**problem(refusal.status, refusal.code, refusal.detail), "request_id": identifier}
    body = json.dumps(content, separators=(",", ":")).encode()
    headers = [
        *default_headers,
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (REQUEST_ID.lower().encode(), identifier.encode()),
    ]
    if refusal.retry_after_seconds is not None:
        headers.append((RETRY_AFTER.lower().encode(), b"%d" % refusal.retry_after_seconds))
    status = f"HTTP/{http_version} {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return status.encode() + lines + b"\r\n" + (b"" if head else body)
