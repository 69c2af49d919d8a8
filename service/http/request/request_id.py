"""The id that a request's header has, or a new one."""

from __future__ import annotations

from starlette.datastructures import Headers

from service.http.headers import REQUEST_ID
from service.observability.request_id import acceptable_id


def identifier_of(headers: Headers) -> str:
    """The client's id where it is acceptable, else a new one."""
    return acceptable_id(headers.get(REQUEST_ID, ""))
