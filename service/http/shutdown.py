"""From the closing of the listener to the end: one budget for all that is left to do."""

from __future__ import annotations

import time


class Shutdown:
    """The budget runs from `begin`; before it, all of it remains."""

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._ends: float | None = None

    def begin(self) -> None:
        if self._ends is None:
            self._ends = time.monotonic() + self.timeout_seconds

    def remaining_seconds(self) -> float:
        if self._ends is None:
            return self.timeout_seconds
        return max(0.0, self._ends - time.monotonic())
