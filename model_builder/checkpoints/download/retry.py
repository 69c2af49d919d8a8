"""Retries with exponential backoff for as long as attempts make progress."""

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
    """A failure that the next attempt may not have.

    progressed: the attempt received more than every earlier one.
    retry_after_seconds: the wait that the server asked for.
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
    """The result of the first `attempt` that does not raise Transient.

    name: of the server or file, for the log.
    Raises FetchFailed with the last reason after `retry_policy.attempts` consecutive attempts
    without progress, or when the next attempt would start after the deadline.
    """
    fruitless = _Fruitless(retry_policy.attempts)
    too_late = stop_before_delay(deadline.remaining_seconds())
    retrying = Retrying(
        retry=retry_if_exception_type(Transient),
        stop=fruitless | too_late,
        # The random part spreads the requests of replicas that started together.
        wait=wait_exponential(retry_policy.first_wait_seconds, retry_policy.longest_wait_seconds)
        + wait_random(0, retry_policy.first_wait_seconds)
        + wait_exception(_requested_wait),
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
        requested = error.retry_after_seconds
        wait = f" and asks for a wait of {requested:.0f} s" if requested else ""
        raise FetchFailed(
            f"{error}{wait}; {deadline} leaves no time for another attempt"
        ) from error


def may_pass(status: int) -> bool:
    """Whether a later request may succeed after a response with this HTTP status."""
    return status in (REQUEST_TIMEOUT, TOO_MANY_REQUESTS) or status in SERVER_ERRORS


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """The wait that `Retry-After` states, in seconds or as a date; 0 without that header."""
    value = headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


class _Fruitless(stop_base):
    """Stops after `limit` consecutive attempts without progress."""

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


def _requested_wait(error: BaseException) -> float:
    return error.retry_after_seconds if isinstance(error, Transient) else 0.0
