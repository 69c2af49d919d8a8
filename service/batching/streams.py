"""Workers that may divide one device among them."""

from __future__ import annotations

from collections.abc import Callable


class Streams:
    """Which workers run a batch, and whether one has the whole device. Guarded by the queue's lock.

    shared: whether they divide a device. Then what waits is divided among those that are idle: a
    batch of all of it would leave the others, and their part of the device, without work. One image
    that nothing else waits with has all of the device, and the next batch begins after it; so do
    all batches for a while, where the queue asks for it. divided: whether they can do so yet; until
    then every batch has all of the device.
    """

    def __init__(
        self, workers: int, *, shared: bool, divided: Callable[[], bool] = lambda: True
    ) -> None:
        self.count = workers
        self._shared = shared
        self._divided = divided
        self._running: set[int] = set()
        # The worker whose batch has the whole device.
        self.alone: int | None = None

    @property
    def divide(self) -> bool:
        """Whether batches divide a device."""
        return self._shared and self._divided()

    @property
    def running(self) -> bool:
        """Whether a batch runs."""
        return bool(self._running)

    def part(self, waiting: int) -> int:
        """How many of the images that wait are one idle worker's, rounded up."""
        idle = self.count - len(self._running) if self.divide else 1
        return -(-waiting // idle)

    def begin(self, worker: int, *, alone: bool) -> None:
        """alone: whether it is to have all of the device, which it has where no batch runs."""
        if self._shared and not self._running and (alone or not self._divided()):
            self.alone = worker
        self._running.add(worker)

    def end(self, worker: int) -> None:
        """Nothing where it runs none."""
        self._running.discard(worker)
        if self.alone == worker:
            self.alone = None
