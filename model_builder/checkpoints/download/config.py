"""How files are fetched: from where, for how long in all, and how patiently."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What is asked of a server before it is given up.

    attempts: in a row that got no further than those before them.
    first_wait_seconds: before the second attempt; doubled each time up to longest_wait_seconds.
    read_timeout_seconds: without a single byte.
    """

    attempts: int = 4
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 30.0
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class DownloadConfig:
    """The operator's wishes.

    mirror: goes in front of plain URLs, in place of their "https://"; the hub and npm have
    settings of their own for this. offline: nothing is fetched. deadline_seconds: for one
    checkpoint from all its sources, waiting for another process included.
    """

    mirror: str | None = None
    offline: bool = False
    deadline_seconds: float = 3600.0
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)

    def address(self, url: str) -> str:
        """Where `url` is fetched from: `<mirror>/<host>/<path>` where there is a mirror."""
        if self.mirror is None:
            return url
        return f"{self.mirror.rstrip('/')}/{url.split('://', 1)[1]}"


@dataclass(frozen=True, slots=True)
class Deadline:
    """Runs from when it is made."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    def remaining_seconds(self) -> float:
        return max(0.0, self.started + self.seconds - time.monotonic())

    def passed(self) -> bool:
        return self.remaining_seconds() == 0

    def __str__(self) -> str:
        return f"the deadline of {self.seconds:g} s"


def without_password(url: str) -> str:
    """`url` as it may be printed: a mirror's address can hold a user's name and password."""
    # Most starts fetch nothing and have no use for an HTTP client.
    import httpx2

    return str(httpx2.URL(url).copy_with(username=None, password=None))
