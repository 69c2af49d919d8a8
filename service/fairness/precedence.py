"""Whose work is begun first: that of clients with little in the service, before others' bulk.

Turns alone would not do: what was begun for a client with much shares the CPUs with the engine,
which works for one with little.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Of images in the service: a client with no more has little.
FEW_IMAGES = 4
# Work is held back so long at most; then it is begun for as long, also where others are there.
MOST_HELD_SECONDS = 0.1


class Precedence:
    """Which clients have little, and whether work of the others may begin. For any thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """now: in seconds."""
        self._now = now
        self._lock = threading.Lock()
        self._images: dict[str, int] = {}
        # Clients with little, and since when there are any.
        self._light = 0
        self._since = 0.0
        self._observers: list[Callable[[], object]] = []

    def observe(self, ended: Callable[[], object]) -> None:
        """ended: called when work that was held back may begin, from any thread."""
        self._observers.append(ended)

    @contextmanager
    def serving(self, client: str, images: int) -> Iterator[None]:
        """While so many images of the client are in the service."""
        self._change(client, images)
        try:
            yield
        finally:
            self._change(client, -images)

    def held_seconds(self, client: str) -> float:
        """How long no work of this client may begin; 0 where it may now."""
        with self._lock:
            if not self._light or self._images.get(client, 0) <= FEW_IMAGES:
                return 0.0
            passed = (self._now() - self._since) % (2 * MOST_HELD_SECONDS)
            return max(0.0, MOST_HELD_SECONDS - passed)

    def _change(self, client: str, images: int) -> None:
        with self._lock:
            before = self._images.get(client, 0)
            after = before + images
            if after:
                self._images[client] = after
            else:
                self._images.pop(client, None)
            light = self._light + (0 < after <= FEW_IMAGES) - (0 < before <= FEW_IMAGES)
            if light and not self._light:
                self._since = self._now()
            ended = self._light and not light
            self._light = light
        if ended:
            for observer in self._observers:
                observer()
