"""Which clients have few images beside others that have many, and what batches are then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from service.batching.batch_sizes import NEAR_WHOLE, BatchSizes
from service.batching.latency import LatencyEstimator
from service.batching.streams import Streams
from service.fairness.fair_queue import FairQueue
from service.fairness.precedence import FEW_IMAGES

# Batches of a client with many images are short for so long after another one had few.
SHORT_BATCHES_SECONDS = 1.0


class LightClients:
    """Few are no more than a short batch has. Guarded by the queue's lock.

    waiting: the images that wait. now, of the methods: on the clock of `time.monotonic`.
    """

    def __init__(
        self,
        waiting: FairQueue[Any],
        batch_sizes: BatchSizes,
        latency: LatencyEstimator,
        streams: Streams,
    ) -> None:
        self._waiting = waiting
        self._batch_sizes = batch_sizes
        self._latency = latency
        self._streams = streams
        # Clients that had few images when one was taken, and when that was.
        self._had_few: dict[str, float] = {}

    @property
    def quick(self) -> int:
        """Images of a short batch, and of a client with few.

        The smaller one by what was measured at the start and what was observed since: other load
        on the machine makes either too large.
        """
        return min(self._batch_sizes.quick, self._latency.batch_sizes.quick)

    @property
    def alone(self) -> int:
        """Images that a batch needs to have none of clients with many."""
        return min(self._batch_sizes.alone, self._latency.batch_sizes.alone)

    def note_taken(self, client: str, now: float) -> None:
        """Before an image of this client is taken."""
        if self._has_few(client):
            self._had_few.pop(client, None)
            self._had_few[client] = now
            # Also where nobody asks for them: there may be no client with many for days.
            self._recent(now)

    def wanted(self, pinned: int, now: float) -> int:
        """How many images the next batch takes. pinned: those that its worker alone may run."""
        part = self._streams.part(pinned + len(self._waiting))
        wanted = self._batch_sizes.take(part)
        if not self._short(now):
            return wanted
        return min(wanted, self.alone if self._whole_helps else self.quick)

    def whole(self, now: float) -> bool:
        """Whether a batch is to have all of the device, which batches divide else."""
        return self._short(now) and self._whole_helps

    def waits_for_device(self, now: float) -> bool:
        """Whether the next image is to have all of the device, and a batch has a part of it."""
        return (
            self._streams.running
            and bool(self._waiting)
            and not self._has_few(self._waiting.next_client)
            and self.whole(now)
        )

    def next_has_few(self) -> bool:
        """Whether the next client has few images, while another one has many."""
        quick, (_, most) = self.quick, self._waiting.fewest_and_most
        return most > quick >= self._waiting.waiting(self._waiting.next_client)

    def only_come(self, coming: Mapping[str, int]) -> bool:
        """Whether all that wait are of clients with many, and one with few is to come.

        coming: of each client the images that are being decoded.
        """
        quick = self.quick
        return self._waiting.fewest_and_most[0] > quick and any(
            images > 0 and images + self._waiting.waiting(client) <= quick
            for client, images in coming.items()
        )

    def _has_few(self, client: str) -> bool:
        return self._waiting.waiting(client) <= self.quick

    def _short(self, now: float) -> bool:
        """Whether a client with many images waits, and one with few does or did lately."""
        quick = self.quick
        fewest, most = self._waiting.fewest_and_most
        return most > quick and (
            fewest <= quick or any(self._has_few(one) for one in self._recent(now))
        )

    @property
    def _whole_helps(self) -> bool:
        """Whether short batches have all of the device.

        Not among clients that all have little, nor where that is much slower than the streams are.
        """
        streams = self._streams
        return (
            streams.divide
            and self._waiting.fewest_and_most[1] > FEW_IMAGES
            and self._latency.whole_part(streams.count) >= NEAR_WHOLE
        )

    def _recent(self, now: float) -> Iterable[str]:
        """Clients that had few images lately. The others, the first of all, are forgotten."""
        oldest = now - SHORT_BATCHES_SECONDS
        while self._had_few:
            first = next(iter(self._had_few))
            if self._had_few[first] >= oldest:
                break
            del self._had_few[first]
        return self._had_few
