"""Who is let in, by what the batcher expects: nothing here waits for a clock."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.batching.admission import Admission
from service.batching.batch_sizes import BatchSizes
from service.batching.batcher import Batcher
from service.batching.item import Array, Pixels
from service.errors import DeadlineExceeded, Overloaded, QueueFull, ServiceError, TooManyImages
from tests.service.fakes import WAIT_SECONDS, Recorder, eventually

IMAGE = np.zeros((1, 1, 3), np.uint8)
LATER = math.inf
# A batch of one or two takes 100 s, so whatever the test takes itself is nothing to it.
PLAN = BatchSizes({1: 100.0, 2: 100.0})


def nothing(pixels: Pixels, _: frozenset[str]) -> Array:
    return np.zeros((len(pixels), 1), np.float32)


@pytest.fixture
def batcher() -> Iterator[Batcher[Any]]:
    """With one image on its device, which stays there."""
    go_on, busy = threading.Event(), threading.Event()

    def run(pixels: Pixels, _: frozenset[str]) -> Array:
        busy.set()
        assert go_on.wait(WAIT_SECONDS)
        return np.zeros((len(pixels), 1), np.float32)

    batcher = Batcher([run], batch_sizes=PLAN, observer=Recorder())
    batcher.start()
    wait(batcher, 1)
    assert busy.wait(WAIT_SECONDS)
    yield batcher
    go_on.set()
    batcher.close(WAIT_SECONDS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The door's own: it stands still unless a test moves it."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(
        "service.batching.admission.time",
        SimpleNamespace(monotonic=lambda: clock.now),
    )
    return clock


def standing(waiting: int) -> Batcher[Any]:
    """With so many in its queue and a device that takes none of them: what it expects is exact."""
    batcher = Batcher([nothing], batch_sizes=PLAN, observer=Recorder())
    wait(batcher, waiting)
    return batcher


def wait(batcher: Batcher[Any], images: int, client: str = "a") -> None:
    for _ in range(images):
        batcher.submit(IMAGE, deadline=LATER, client=client)


def within(seconds: float) -> float:
    return time.monotonic() + seconds


def test_the_wait_is_the_rest_of_this_batch_and_all_that_is_ahead(batcher: Batcher[Any]) -> None:
    admission = Admission(batcher, queue_limit=100, wait_limit_seconds=1000)
    assert admission.client_wait_seconds("a") == pytest.approx(100, abs=WAIT_SECONDS)
    wait(batcher, 3)
    assert admission.client_wait_seconds("a") == pytest.approx(300, abs=WAIT_SECONDS)
    places = admission.admit(1, deadline=LATER, client="a")
    places_of_another = admission.admit(2, deadline=LATER, client="a")
    assert admission.client_wait_seconds("a") == pytest.approx(400, abs=WAIT_SECONDS)
    places.release(1)
    places.release(1)
    places_of_another.release(1)
    places_of_another.release()
    places_of_another.release()
    assert admission.client_wait_seconds("a") == pytest.approx(300, abs=WAIT_SECONDS)


def test_two_devices_halve_the_wait() -> None:
    batcher = Batcher([nothing, nothing], batch_sizes=PLAN, observer=Recorder())
    wait(batcher, 8)
    admission = Admission(batcher, queue_limit=100, wait_limit_seconds=1000)
    assert admission.wait_seconds == admission.client_wait_seconds("a") == 200
    assert [batcher.seconds_until(n, waiting=8) for n in (0, 1, 8)] == [0, 100, 200]


def test_a_wait_beyond_the_limit_is_refused_with_what_is_too_much(batcher: Batcher[Any]) -> None:
    admission = Admission(batcher, queue_limit=100, wait_limit_seconds=150)
    admission.check(1, deadline=LATER, client="a")
    wait(batcher, 3)
    with pytest.raises(Overloaded, match=r"The wait is about \d+\.\d s, and 150 s is") as refusal:
        admission.admit(1, deadline=LATER, client="a")
    assert refusal.value.retry_after_seconds == pytest.approx(150, abs=WAIT_SECONDS)


def test_an_answer_that_would_be_late_is_refused(batcher: Batcher[Any]) -> None:
    admission = Admission(batcher, queue_limit=100, wait_limit_seconds=1000)
    # This batch and its own, and half as much again: 300 s.
    admission.check(2, deadline=within(400), client="a")
    with pytest.raises(Overloaded, match="the request has") as refusal:
        admission.check(2, deadline=within(220), client="a")
    assert refusal.value.retry_after_seconds == pytest.approx(80, abs=2 * WAIT_SECONDS)
    with pytest.raises(DeadlineExceeded):
        admission.check(1, deadline=within(-1), client="a")


def test_the_number_counts_what_is_being_decoded(batcher: Batcher[Any]) -> None:
    admission = Admission(batcher, queue_limit=4, wait_limit_seconds=1000)
    wait(batcher, 1)
    admission.admit(2, deadline=LATER, client="a")
    full = "3 of at most 4 images are waiting, 3 of them of this client, which may have 4. Nothing"
    with pytest.raises(QueueFull, match=full) as refusal:
        admission.check(2, deadline=LATER, client="a")
    assert refusal.value.retry_after_seconds is not None
    assert refusal.value.retry_after_seconds > 100 - WAIT_SECONDS
    admission.check(1, deadline=LATER, client="a")
    with pytest.raises(TooManyImages):
        admission.check(5, deadline=LATER, client="a")


def test_a_body_that_was_not_read_needs_room_for_as_many_as_the_last_one() -> None:
    batcher = standing(0)
    admission = Admission(batcher, queue_limit=8, wait_limit_seconds=math.inf)
    places = admission.admit(4, deadline=LATER, client="a", image_bytes=1000)
    for body_bytes in (1000, None):
        with pytest.raises(QueueFull) as refusal:
            admission.check(1, deadline=LATER, client="a", body_bytes=body_bytes)
        assert refusal.value.client_share
    # A smaller body, one that was read, and another client's.
    admission.check(1, deadline=LATER, client="a", body_bytes=999)
    admission.check(1, deadline=LATER, client="a")
    admission.check(1, deadline=LATER, client="b", body_bytes=1000)
    places.release()
    # A client that has nothing here is never refused for what it sent before.
    wait(batcher, 5, client="b")
    admission.check(1, deadline=LATER, client="a", body_bytes=1000)


def test_the_pace_is_what_was_measured_last() -> None:
    batcher = Batcher(
        [lambda pixels, _: np.zeros((len(pixels), 1), np.float32)],
        batch_sizes=BatchSizes({1: 100.0}),
        observer=Recorder(),
    )
    batcher.start()
    before = batcher.seconds_until(1, waiting=1)
    admission = Admission(batcher, queue_limit=100, wait_limit_seconds=1000)
    admission.check(1, deadline=within(WAIT_SECONDS), client="a")
    batcher.submit(IMAGE, deadline=LATER).result(WAIT_SECONDS)
    assert before == 100
    eventually(lambda: batcher.seconds_until(1, waiting=1) < 95)
    assert batcher.close(WAIT_SECONDS)


def test_as_much_as_may_be_is_let_in(clock: SimpleNamespace) -> None:
    admission = Admission(standing(1), queue_limit=4, wait_limit_seconds=100)
    # What waits is a batch of 100 s, which a second image fits into: half as much again is 150 s.
    admission.check(1, deadline=150, client="a")
    admission.check(3, deadline=LATER, client="a")
    with pytest.raises(Overloaded):
        admission.check(1, deadline=149.9, client="a")
    with pytest.raises(QueueFull):
        admission.check(4, deadline=LATER, client="a")
    with pytest.raises(DeadlineExceeded):
        admission.check(1, deadline=clock.now, client="a")
    empty = Admission(standing(0), queue_limit=4, wait_limit_seconds=100)
    empty.check(4, deadline=0.5, client="a")


def test_a_full_queue_says_when_there_will_be_room() -> None:
    admission = Admission(standing(3), queue_limit=6, wait_limit_seconds=1000)
    admission.admit(2, deadline=LATER, client="a")
    # When two of the three that wait are done.
    with pytest.raises(QueueFull) as refusal:
        admission.check(2, deadline=LATER, client="a")
    assert refusal.value.retry_after_seconds == 100


def test_lateness_is_believed_by_half_and_forgotten_slowly(clock: SimpleNamespace) -> None:
    admission = Admission(standing(1), queue_limit=100, wait_limit_seconds=1000)

    def assert_needed(seconds: float) -> None:
        admission.check(1, deadline=clock.now + seconds, client="a")
        with pytest.raises(Overloaded):
            admission.check(1, deadline=clock.now + seconds - 0.01, client="a")

    assert_needed(150)
    admission.record_lateness("a", 100)
    assert_needed(150 + 50)
    # To be early counts as in time.
    admission.record_lateness("a", -5)
    assert_needed(150 + 49)
    # However late it was, half of the time left is for what is ahead.
    admission.record_lateness("a", 1_000_000)
    assert_needed(300)


def test_a_request_that_is_through_tells_how_late_it_was(clock: SimpleNamespace) -> None:
    admission = Admission(standing(1), queue_limit=100, wait_limit_seconds=1000)
    places = admission.admit(1, deadline=LATER, client="a")
    clock.now += 160
    # It was expected after 100 s.
    places.record_completion()
    places.release()
    admission.check(1, deadline=clock.now + 150 + 30, client="a")
    with pytest.raises(Overloaded):
        admission.check(1, deadline=clock.now + 150 + 29.9, client="a")


def refusal_of(
    admission: Admission, images: int = 1, *, client: str | None, deadline: float = LATER
) -> ServiceError | None:
    try:
        admission.check(images, deadline=deadline, client=client)
    except ServiceError as error:
        return error
    return None


def reason_of(admission: Admission, images: int = 1, *, client: str | None, **given: Any) -> str:
    """What it is counted as; empty for a request that is let in."""
    refusal = refusal_of(admission, images, client=client, **given)
    return "" if refusal is None else refusal.reason


def test_a_client_alone_may_have_all_but_an_eighth() -> None:
    admission = Admission(standing(0), queue_limit=256, wait_limit_seconds=math.inf)
    admission.check(224, deadline=LATER, client="a")
    with pytest.raises(TooManyImages, match=r"may have 224 images: .* Received: 225"):
        admission.check(225, deadline=LATER, client="a")
    admission.admit(200, deadline=LATER, client="a")
    assert reason_of(admission, 24, client="a") == ""
    assert reason_of(admission, 25, client="a") == "client_share"


def test_one_that_has_filled_its_share_is_refused_and_another_is_not() -> None:
    batcher = standing(0)
    admission = Admission(batcher, queue_limit=256, wait_limit_seconds=math.inf)
    wait(batcher, 200, "flood")
    admission.admit(24, deadline=LATER, client="flood")
    refusal = refusal_of(admission, client="flood")
    assert isinstance(refusal, QueueFull)
    assert refusal.reason == "client_share"
    assert str(refusal) == (
        "224 of at most 256 images are waiting, 224 of them of this client, which may have 224. "
        "Nothing was decoded."
    )
    assert reason_of(admission, 32, client="honest") == ""
    # Where the client is not known, it may be that one.
    assert reason_of(admission, client=None) == ""


def test_room_and_turns_count_what_other_clients_decode() -> None:
    admission = Admission(standing(0), queue_limit=16, wait_limit_seconds=math.inf)
    decoding = admission.admit(14, deadline=LATER, client="a")
    assert refusal_of(admission, 3, client="b") is not None
    assert admission.client_wait_seconds("b") == 100
    assert admission.client_wait_seconds("a") == 700
    decoding.release()
    assert reason_of(admission, 14, client="b") == ""
    assert admission.client_wait_seconds("b") == 0


def test_a_queue_that_is_full_for_all_is_no_clients_fault() -> None:
    batcher = standing(0)
    admission = Admission(batcher, queue_limit=8, wait_limit_seconds=math.inf)
    for number in range(8):
        wait(batcher, 1, str(number))
    assert reason_of(admission, client="0") == "queue_full"
    assert reason_of(admission, client="newcomer") == "queue_full"
    assert reason_of(admission, client=None) == "queue_full"


def test_a_client_waits_for_its_own_turns_and_not_for_what_another_sent() -> None:
    """Batches of two in 100 s: one image of the flood and one of the other's go together."""
    batcher = standing(0)
    admission = Admission(batcher, queue_limit=1000, wait_limit_seconds=5000)
    wait(batcher, 200, "flood")
    assert admission.client_wait_seconds("flood") == 10_000
    assert admission.client_wait_seconds("honest") == 100
    refusal = refusal_of(admission, client="flood")
    assert isinstance(refusal, Overloaded)
    assert refusal.reason == "client_share"
    assert refusal.retry_after_seconds == 5000
    assert refusal_of(admission, client="honest") is None
    wait(batcher, 3, "honest")
    # Three of the flood's go before, and one more may.
    assert admission.client_wait_seconds("honest") == 400


@pytest.mark.usefixtures("clock")
def test_a_deadline_is_compared_with_the_clients_own_wait() -> None:
    batcher = standing(0)
    admission = Admission(batcher, queue_limit=1000, wait_limit_seconds=math.inf)
    wait(batcher, 200, "flood")
    # A batch of two, and half as much again.
    assert reason_of(admission, client="honest", deadline=150.0) == ""
    assert reason_of(admission, client="honest", deadline=149.0) == "overloaded"
    assert reason_of(admission, client="flood", deadline=1000.0) == "client_share"
    assert reason_of(admission, client=None, deadline=150.0) == ""
    assert reason_of(admission, client=None, deadline=149.0) == "overloaded"


def test_every_client_more_is_one_turn_more() -> None:
    batcher = standing(0)
    admission = Admission(batcher, queue_limit=1000, wait_limit_seconds=math.inf)
    for number in range(8):
        wait(batcher, 20, str(number))
    assert admission.client_wait_seconds("honest") == 400


def test_a_client_is_told_when_its_own_share_has_room() -> None:
    batcher = standing(0)
    admission = Admission(batcher, queue_limit=16, wait_limit_seconds=math.inf)
    wait(batcher, 11, "flood")
    wait(batcher, 2, "other")
    # Room for 14 - 13. Three more need two turns of its own, and two of the other come between.
    refusal = refusal_of(admission, 3, client="flood")
    assert refusal is not None
    assert refusal.retry_after_seconds == 200
    # One that has nothing here waits until so many are done, whose they may be.
    newcomer = refusal_of(admission, 6, client="newcomer")
    assert newcomer is not None
    assert newcomer.retry_after_seconds == 200


@pytest.mark.usefixtures("clock")
def test_one_clients_lateness_is_not_anothers() -> None:
    """It may send what takes long to decode, or much at once."""
    admission = Admission(standing(1), queue_limit=100, wait_limit_seconds=1000)
    for _ in range(50):
        admission.record_lateness("flood", 1_000_000)
    assert reason_of(admission, client="flood", deadline=299.0) == "client_share"
    assert reason_of(admission, client="honest", deadline=150.0) == ""
    assert reason_of(admission, client=None, deadline=150.0) == ""


def test_a_request_that_was_late_is_held_against_its_client(clock: SimpleNamespace) -> None:
    admission = Admission(standing(1), queue_limit=100, wait_limit_seconds=1000)
    places = admission.admit(1, deadline=LATER, client="flood")
    clock.now += 1_000
    places.record_completion()
    places.release()
    assert reason_of(admission, client="flood", deadline=clock.now + 299) == "client_share"
    assert reason_of(admission, client="honest", deadline=clock.now + 150) == ""


@pytest.mark.usefixtures("clock")
def test_a_device_that_one_client_slows_down_refuses_that_client_first() -> None:
    """An estimate four times as high: the other has one batch ahead of it, and not a hundred."""
    batcher = standing(0)
    admission = Admission(batcher, queue_limit=1000, wait_limit_seconds=20_000)
    wait(batcher, 200, "flood")
    assert reason_of(admission, client="flood", deadline=30_000.0) == ""
    for _ in range(100):
        batcher.latency.observe(2, 400.0)
    assert batcher.latency.batch_seconds(2) == pytest.approx(400)
    assert reason_of(admission, client="flood", deadline=30_000.0) == "client_share"
    assert reason_of(admission, client="honest", deadline=601.0) == ""


@pytest.mark.usefixtures("clock")
def test_an_idle_device_is_tried_however_slow_it_was() -> None:
    batcher = standing(0)
    admission = Admission(batcher, queue_limit=1000, wait_limit_seconds=1)
    for size in (1, 2):
        batcher.latency.observe(size, 1_000_000.0)
    assert reason_of(admission, client="honest", deadline=0.1) == ""
