"""When another attempt is made, after which wait, and when none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from model_builder.checkpoints.download.config import Deadline, RetryPolicy
from model_builder.checkpoints.download.retry import Transient, may_pass, retry, retry_after_seconds
from model_builder.errors import FetchFailed

POLICY = RetryPolicy(attempts=4, first_wait_seconds=1.0, longest_wait_seconds=5.0)


def failing(failures: Iterable[Exception]) -> Callable[[], str]:
    """Raises one failure a call, then succeeds."""
    remaining = iter(failures)

    def attempt() -> str:
        for failure in remaining:
            raise failure
        return "done"

    return attempt


def waits_of(failures: Iterable[Exception], *, deadline_seconds: float = 3600.0) -> list[float]:
    waits: list[float] = []
    retry(failing(failures), POLICY, Deadline(deadline_seconds), name="it", sleep=waits.append)
    return waits


def test_a_success_is_not_repeated() -> None:
    assert waits_of([]) == []


def test_waits_double_and_have_a_random_part() -> None:
    waits = waits_of([Transient("busy")] * 3)
    for wait, least in zip(waits, (1.0, 2.0, 4.0), strict=True):
        assert least <= wait <= least + 1


def test_waits_have_a_maximum() -> None:
    waits = waits_of([Transient("cut off", progressed=True)] * 8)
    assert len(waits) == 8
    assert all(5.0 <= wait <= 6.0 for wait in waits[3:])


def test_the_server_may_ask_for_longer_waits() -> None:
    (wait,) = waits_of([Transient("busy", retry_after_seconds=60)])
    assert 61 <= wait <= 62


def test_attempts_without_progress_are_limited() -> None:
    waits: list[float] = []
    failures = [Transient("busy")] * 3 + [Transient("still busy")] + [Transient("unseen")]
    with pytest.raises(FetchFailed, match=r"^still busy \(4 attempts\)$"):
        retry(failing(failures), POLICY, Deadline(3600), name="it", sleep=waits.append)
    assert len(waits) == 3


def test_progress_resets_the_count_of_attempts() -> None:
    lost, further = Transient("lost"), Transient("cut off", progressed=True)
    assert len(waits_of([lost, lost, lost, further, lost, lost, further, lost, lost])) == 9


def test_no_wait_exceeds_the_deadline() -> None:
    waits: list[float] = []
    attempt = failing([Transient("the server answered 429", retry_after_seconds=3600)])
    with pytest.raises(FetchFailed) as raised:
        retry(attempt, POLICY, Deadline(60), name="it", sleep=waits.append)
    assert waits == []
    assert str(raised.value) == (
        "the server answered 429 and asks for a wait of 3600 s; "
        "the deadline of 60 s leaves no time for another attempt"
    )


def test_other_failures_are_final() -> None:
    with pytest.raises(FetchFailed, match=r"^404$"):
        waits_of([FetchFailed("404")])


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float) -> None:
    assert retry_after_seconds(headers) == seconds


def test_retry_after_a_date() -> None:
    in_an_hour = datetime.now(timezone.utc) + timedelta(hours=1)
    asked = retry_after_seconds({"Retry-After": format_datetime(in_an_hour, usegmt=True)})
    assert 3000 < asked <= 3600


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, False), (403, False), (404, False), (408, True), (429, True), (500, True), (503, True)],
)
def test_which_answers_may_pass(status: int, expected: bool) -> None:
    assert may_pass(status) is expected
