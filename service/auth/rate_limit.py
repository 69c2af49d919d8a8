"""Requests a second for each client, and a burst."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from service.auth.token_bucket import TokenBucket

# Clients that are remembered: the most recent. A client that was forgotten has a full bucket.
MAX_CLIENTS = 10_000


class RateLimit:
    """A token bucket for each client: `burst` tokens at most, `per_second` more every second.

    For one event loop.
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, client: str) -> float:
        """Takes a token: 0, or where there is none the seconds until there is one."""
        now = self._clock()
        bucket = self._buckets.pop(client, None) or TokenBucket(self._burst, now)
        self._buckets[client] = bucket
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return bucket.take(now, per_second=self._per_second, capacity=self._burst)
