"""Workers that divide one device among them."""

from __future__ import annotations


class Streams:
    """Which of them run a batch, and whether one has the whole device. Guarded by the queue's lock.

    What waits is divided among those that are idle: a batch of all of it would leave the others,
    and their part of the device, without work. One image that nothing else waits with has all of
    it, and the next batch begins after it.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._running: set[int] = set()
        # The worker whose batch runs alone.
        self.alone: int | None = None

    def part(self, waiting: int) -> int:
        """How many of the images that wait are one idle worker's, rounded up."""
        return -(-waiting // (self._workers - len(self._running)))

    def begin(self, worker: int, *, alone: bool) -> None:
        """alone: whether the batch may run so, where no other runs."""
        if alone and not self._running:
            self.alone = worker
        self._running.add(worker)

    def end(self, worker: int) -> None:
        """Nothing where it runs none."""
        self._running.discard(worker)
        if self.alone == worker:
            self.alone = None
