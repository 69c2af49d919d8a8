"""The id of a request, which its answer and the log's lines have in common."""

from __future__ import annotations

import re
import uuid

from starlette.datastructures import Headers

HEADER = "X-Request-ID"
# What is taken from a client goes into logs and headers: nothing that could break either.
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def identifier_of(headers: Headers) -> str:
    """The client's own where that can be taken, or a new one."""
    given = headers.get(HEADER, "")
    return given if ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
