"""A token bucket: so many tokens at most, and so many more a second; fewer than none are a debt."""

from __future__ import annotations


class TokenBucket:
    """now: on any monotonic clock, in seconds. For one event loop."""

    __slots__ = ("_since", "_tokens")

    def __init__(self, tokens: float, now: float) -> None:
        self._tokens = tokens
        self._since = now

    def take(self, now: float, *, per_second: float, capacity: float) -> float:
        """Takes a token: 0, or where there is none the seconds until there is one."""
        self._fill(now, per_second, capacity)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / per_second

    def charge(self, now: float, tokens: float, *, per_second: float, capacity: float) -> float:
        """Takes so many, into debt where there are fewer: 0.

        Takes none while there is a debt: then the seconds until there is a token.
        """
        self._fill(now, per_second, capacity)
        if self._tokens < 0:
            return (1 - self._tokens) / per_second
        self._tokens -= tokens
        return 0.0

    def _fill(self, now: float, per_second: float, capacity: float) -> None:
        self._tokens = min(capacity, self._tokens + (now - self._since) * per_second)
        self._since = now
