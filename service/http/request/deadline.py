"""When a request's result is due, on the clock of `time.monotonic`."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestDeadline:
    """The client's timeout counts from the request's arrival; the server's counts twice: for the
    arrival of the body, and from then on for the result.

    client_timeout_ms: from the request's header; None where it has none.
    """

    arrived: float
    client_timeout_ms: float | None
    server_timeout_seconds: float

    def at(self, now: float) -> float:
        """The deadline, seen at `arrived` or when the body is there."""
        client = math.inf
        if self.client_timeout_ms is not None:
            client = self.arrived + self.client_timeout_ms / 1000
        return min(client, now + self.server_timeout_seconds)
