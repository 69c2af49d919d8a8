"""Download settings: mirror, deadline and retry policy."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a download is tried again.

    attempts: consecutive attempts without progress before the download fails.
    first_wait_seconds: before the second attempt; doubled each time up to longest_wait_seconds.
    read_timeout_seconds: the longest wait for the next byte.
    """

    attempts: int = 4
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 30.0
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class DownloadConfig:
    """The operator's settings.

    mirror: replaces the "https://" of plain URLs; the hub and npm have their own settings for a
        mirror.
    offline: nothing is downloaded.
    deadline_seconds: for one checkpoint over all its sources, including the wait for a process
        that downloads it at the same time.
    """

    mirror: str | None = None
    offline: bool = False
    deadline_seconds: float = 3600.0
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)

    def address(self, url: str) -> str:
        """The address to download `url` from: `<mirror>/<host>/<path>` where there is a mirror."""
        if self.mirror is None:
            return url
        return f"{self.mirror.rstrip('/')}/{url.split('://', 1)[1]}"


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time, `seconds` after the object was created."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    def remaining_seconds(self) -> float:
        """0 when the deadline has passed."""
        return max(0.0, self.started + self.seconds - time.monotonic())

    def passed(self) -> bool:
        """Whether no time remains."""
        return self.remaining_seconds() == 0

    def __str__(self) -> str:
        return f"the deadline of {self.seconds:g} s"


def without_password(url: str) -> str:
    """`url` without the user name and password that a mirror's address can contain."""
    # Most starts download nothing: they need not import an HTTP client.
    import httpx2

    return str(httpx2.URL(url).copy_with(username=None, password=None))
