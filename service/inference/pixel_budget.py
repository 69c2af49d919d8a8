"""How many pixels the images of one request have together."""

from __future__ import annotations

from service.errors import TooManyPixels


class PixelBudget:
    """Counts what the headers say before anything is decoded, and what they hid when it is known.

    limit: None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._pixels = 0

    def add(self, pixels: int) -> None:
        """Raises TooManyPixels."""
        self._pixels += pixels
        if self._limit is not None and self._pixels > self._limit:
            raise TooManyPixels(
                f"The images of a request may have {self._limit} pixels together. "
                f"Received: {self._pixels} or more"
            )
