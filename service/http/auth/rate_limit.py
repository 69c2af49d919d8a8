"""So many requests a second for each client, and a burst."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

# Clients that are remembered, those that came last. One that is forgotten starts afresh.
MAX_CLIENTS = 10_000


class RateLimit:
    """A token bucket a client: `burst` tokens at most, `per_second` more every second.

    For one event loop.
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        # Tokens, and when there were so many.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Takes a token: 0, or where there is none the seconds until there is."""
        now = self._clock()
        tokens, then = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - then) * self._per_second)
        wait = max(0.0, (1 - tokens) / self._per_second)
        self._buckets[client] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return wait
