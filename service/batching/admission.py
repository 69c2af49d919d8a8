"""Admits or refuses a request when it arrives, before anything is decoded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.batching.batcher import Batcher
from service.batching.expected_images import ExpectedImages
from service.batching.lateness import Lateness
from service.errors import DeadlineExceeded, Overloaded, QueueFull, TooManyImages
from service.fairness.fair_queue import ahead_of
from service.fairness.shared_limit import room_for

# The expected latency is a mean.
SAFETY_FACTOR = 1.5


class Admission:
    """The only place that holds the queue's limits. For one event loop.

    Clients share the queue's room, and a client's expected wait is that of its own turns: what one
    client sends makes no other one's requests refused. A client is any name; None stands for one
    that has nothing here.

    queue_limit: images that may wait. wait_limit_seconds: longest expected wait for the device.
    Both count the images that were admitted and are still being decoded.
    """

    def __init__(
        self, batcher: Batcher[Any], *, queue_limit: int, wait_limit_seconds: float
    ) -> None:
        self._batcher = batcher
        self._queue_limit = queue_limit
        self._wait_limit_seconds = wait_limit_seconds
        # Images that are being decoded, by client.
        self._decoding = batcher.coming
        self._lateness = Lateness()
        self._expected = ExpectedImages()

    @property
    def wait_seconds(self) -> float:
        """Expected time until every image that waits now has its result."""
        waiting = self._load().waiting
        return self._batcher.seconds_until(waiting, waiting=waiting)

    def client_wait_seconds(self, client: str | None) -> float:
        """Expected wait for the device of an image of this client that arrives now."""
        return self._seconds_until_begun(self._load(), client)

    def check(
        self, images: int, *, deadline: float, client: str | None, body_bytes: int | None = 0
    ) -> None:
        """Refuses by raising. deadline: on the clock of `time.monotonic`.

        client: None refuses only what any client would be refused. body_bytes: of a body that was
        not read; None where that is not known. While the client has images that wait, such a
        request needs room for as many as its last one had, if it is as large.
        Raises TooManyImages, QueueFull, Overloaded or DeadlineExceeded.
        """
        self._check(self._load(), images, deadline, client, body_bytes)

    def admit(
        self, images: int, *, deadline: float, client: str, image_bytes: int = 0
    ) -> Reservation:
        """Reserves room for the images. Raises what `check` raises.

        image_bytes: of all images together.
        """
        self._expected.record(client, images, image_bytes)
        load = self._load()
        self._check(load, images, deadline, client)
        done = time.monotonic() + self._seconds_until_done(load, images, client)
        return Reservation(self, images, client, expected=done)

    def record_lateness(self, client: str, late_seconds: float) -> None:
        """late_seconds: between the expected and the actual end of a request; negative if early."""
        self._lateness.record(client, late_seconds)

    def _check(
        self,
        load: _Load,
        images: int,
        deadline: float,
        client: str | None,
        body_bytes: int | None = 0,
    ) -> None:
        most = room_for(self._queue_limit, used=0, held=0, clients=1)
        if images > most:
            raise TooManyImages(
                f"A request may have {most} images: no more of one client may wait. "
                f"Received: {images}"
            )
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise DeadlineExceeded("The deadline passed before the images were there.")
        refusal = self._refusal(load, images, remaining, client, body_bytes)
        if refusal is None:
            return
        if client is not None:
            refusal.client_share = self._refusal(load, images, remaining, None) is None
        raise refusal

    def _refusal(
        self,
        load: _Load,
        images: int,
        remaining: float,
        client: str | None,
        body_bytes: int | None = 0,
    ) -> QueueFull | Overloaded | None:
        room, held = load.room(self._queue_limit, client), load.held(client)
        needed_room = images
        if client is not None and held:
            needed_room = max(images, self._expected.of(client, body_bytes))
        if needed_room > room:
            own = f", {held} of them of this client, which may have {held + room}" if held else ""
            return QueueFull(
                f"{load.waiting} of at most {self._queue_limit} images are waiting{own}. "
                "Nothing was decoded.",
                retry_after_seconds=self._batcher.seconds_until(
                    load.before_room(client, needed_room - room), waiting=load.waiting
                ),
            )
        wait = self._seconds_until_begun(load, client)
        if wait > self._wait_limit_seconds:
            return Overloaded(
                f"The wait is about {wait:.1f} s, and {self._wait_limit_seconds:g} s is the limit.",
                retry_after_seconds=wait - self._wait_limit_seconds,
            )
        if not wait:
            # The device is idle: the request is admitted and updates the latency estimate.
            return None
        # At most half of the remaining time: if every request were refused, lateness would never
        # be observed again.
        late = min(self._lateness.seconds(client), remaining / 2)
        needed = SAFETY_FACTOR * self._seconds_until_done(load, images, client) + late
        if needed <= remaining:
            return None
        return Overloaded(
            f"The answer may take {needed:.2f} s, and the request has {remaining:.2f} s left.",
            retry_after_seconds=needed - remaining,
        )

    def _seconds_until_begun(self, load: _Load, client: str | None) -> float:
        """Until the device takes an image of this client that arrives now."""
        return self._batcher.seconds_until(load.before_turn(client, 1), waiting=load.waiting)

    def _seconds_until_done(self, load: _Load, images: int, client: str | None) -> float:
        """Until so many images that arrive now have their results."""
        ahead = load.before_turn(client, images) + images
        return self._batcher.seconds_until(ahead, waiting=load.waiting + images)

    def _load(self) -> _Load:
        by_client = self._batcher.waiting_by_client()
        for client, images in dict(self._decoding).items():
            by_client[client] = by_client.get(client, 0) + images
        return _Load(by_client, sum(by_client.values()))


@dataclass(frozen=True, slots=True)
class _Load:
    """Images that wait or are being decoded, of each client that has any, and all together."""

    by_client: Mapping[str, int]
    waiting: int

    def held(self, client: str | None) -> int:
        return 0 if client is None else self.by_client.get(client, 0)

    def room(self, limit: int, client: str | None) -> int:
        held = self.held(client)
        clients = len(self.by_client) + (held == 0)
        return room_for(limit, used=self.waiting, held=held, clients=clients)

    def before_turn(self, client: str | None, images: int) -> int:
        """How many of these are served before the last of so many more images of this client."""
        return ahead_of(self.by_client.values(), self.held(client) + images)

    def before_room(self, client: str | None, images: int) -> int:
        """How many are served before the client has room for so many more."""
        own_turns = min(images, self.held(client))
        return max(images, ahead_of(self.by_client.values(), own_turns))


class Reservation:
    """Room for the images of one request, from its admission until they are decoded."""

    def __init__(self, admission: Admission, images: int, client: str, *, expected: float) -> None:
        """expected: when they have their results, on the clock of `time.monotonic`."""
        self._admission = admission
        self._client = client
        self._expected = expected
        self._held = images
        admission._decoding[client] += images

    def record_completion(self) -> None:
        """Records the lateness: every image has its result, or the deadline passed."""
        self._admission.record_lateness(self._client, time.monotonic() - self._expected)

    def release(self, images: int | None = None) -> None:
        """Releases room for a number of images, or all that is held; never more than is held."""
        given = self._held if images is None else min(images, self._held)
        self._held -= given
        decoding = self._admission._decoding
        decoding[self._client] -= given
        if decoding[self._client] <= 0:
            del decoding[self._client]
