"""Another attempt, and another: with growing waits, as long as it leads anywhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_before_delay,
    wait_exception,
    wait_exponential,
    wait_random,
)
from tenacity.stop import stop_base

from model_builder.checkpoints.download.config import Deadline, RetryPolicy
from model_builder.errors import FetchFailed

logger = logging.getLogger(__name__)

T = TypeVar("T")

REQUEST_TIMEOUT, TOO_MANY_REQUESTS, SERVER_ERRORS = 408, 429, range(500, 600)


class Transient(Exception):
    """A failure that the next attempt may not meet.

    progressed: the attempt got further than any before it. retry_after_seconds: the server's wish.
    """

    def __init__(
        self, reason: str, *, progressed: bool = False, retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(reason)
        self.progressed = progressed
        self.retry_after_seconds = retry_after_seconds


def retry(
    attempt: Callable[[], T],
    retry_policy: RetryPolicy,
    deadline: Deadline,
    *,
    name: str,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """What `attempt` returns once it does not raise Transient. name: of what is asked, for the log.

    Raises FetchFailed with the last reason after `patience.attempts` in a row without progress, or
    when the next would begin after the deadline.
    """
    fruitless = _Fruitless(retry_policy.attempts)
    too_late = stop_before_delay(deadline.remaining_seconds())
    retrying = Retrying(
        retry=retry_if_exception_type(Transient),
        stop=fruitless | too_late,
        # The random part keeps replicas that start together from asking together.
        wait=wait_exponential(retry_policy.first_wait_seconds, retry_policy.longest_wait_seconds)
        + wait_random(0, retry_policy.first_wait_seconds)
        + wait_exception(_wait_asked_for),
        sleep=sleep,
        before_sleep=lambda state: logger.warning(
            "%s: %s; trying again in %.1f s", name, _error(state), state.upcoming_sleep
        ),
        reraise=True,
    )
    try:
        return retrying(attempt)
    except Transient as error:
        if fruitless.exhausted:
            raise FetchFailed(f"{error} ({fruitless.limit} attempts)") from error
        asked = error.retry_after_seconds
        wish = f" and wishes to be asked again in {asked:.0f} s" if asked else ""
        raise FetchFailed(
            f"{error}{wish}; {deadline} leaves no time for another attempt"
        ) from error


def may_pass(status: int) -> bool:
    """Whether an answer with this HTTP status may be another one in a moment."""
    return status in (REQUEST_TIMEOUT, TOO_MANY_REQUESTS) or status in SERVER_ERRORS


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """What `Retry-After` asks for, in seconds or as a date; 0 where it asks for nothing."""
    value = headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


class _Fruitless(stop_base):
    """Stops after so many attempts in a row that got no further."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._in_a_row = 0

    def __call__(self, retry_state: RetryCallState) -> bool:
        error = _error(retry_state)
        self._in_a_row = 1 if error.progressed else self._in_a_row + 1
        return self.exhausted

    @property
    def exhausted(self) -> bool:
        return self._in_a_row >= self.limit


def _error(retry_state: RetryCallState) -> Transient:
    error = retry_state.outcome.exception() if retry_state.outcome is not None else None
    assert isinstance(error, Transient)
    return error


def _wait_asked_for(error: BaseException) -> float:
    return error.retry_after_seconds if isinstance(error, Transient) else 0.0
