"""How many images a request has whose body was not read: as many as its client's last one."""

from __future__ import annotations

from collections import OrderedDict

# Clients that are remembered: the most recent that sent several images at once.
MAX_CLIENTS = 10_000


class ExpectedImages:
    """The images of each client's last request, and their bytes. One that is not known has one."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def record(self, client: str, images: int, image_bytes: int) -> None:
        """image_bytes: of all images of the request together."""
        self._last.pop(client, None)
        if images <= 1:
            return
        self._last[client] = images, image_bytes
        if len(self._last) > MAX_CLIENTS:
            self._last.popitem(last=False)

    def of(self, client: str, body_bytes: int | None) -> int:
        """1 for a body that is smaller than the last request's images, or empty.

        body_bytes: None where that is not known.
        """
        images, image_bytes = self._last.get(client, (1, 0))
        return images if body_bytes is None or body_bytes >= max(1, image_bytes) else 1
