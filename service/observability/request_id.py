"""The id of a request, in its response and in the lines of the log."""

from __future__ import annotations

import re
import uuid

# The client's id goes into logs and headers: it may hold nothing that breaks either.
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def acceptable_id(given: str) -> str:
    """The client's id where it is acceptable, else a new one."""
    return given if ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
