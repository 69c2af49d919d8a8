"""Bytes that are appended one after another, in memory of their own."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Any

# Private pages of no file. A system without them has another kind that is as good.
_PRIVATE: dict[str, Any] = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
)


class PageBuffer:
    """Takes memory from the system as it is written, a page at a time, and returns it at once.

    The C library's heap does not: after buffers of megabytes that grew beside each other it keeps
    about what they held. Not for two threads at once.
    """

    def __init__(self, capacity: int) -> None:
        """capacity: bytes of address space, 1 or more; what is not written takes no memory."""
        self._capacity = capacity
        self._pages: mmap.mmap | None = mmap.mmap(-1, capacity, **_PRIVATE)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            # Else the first byte takes 2 MB where the system makes large pages unasked.
            with suppress(OSError):
                self._pages.madvise(mmap.MADV_NOHUGEPAGE)
        self._size = 0

    def __len__(self) -> int:
        """Bytes that were written."""
        return self._size

    def append(self, data: bytes | memoryview) -> None:
        """Raises ValueError beyond the capacity, or once closed."""
        end = self._size + len(data)
        if self._pages is None or end > self._capacity:
            raise ValueError(f"There is room for {self._capacity} bytes. Received: {end}")
        self._pages[self._size : end] = data
        self._size = end

    def view(self, start: int = 0, end: int | None = None) -> memoryview:
        """Bytes that were written, read-only and without a copy. Raises ValueError once closed.

        A view keeps the memory of the whole buffer, also once that is closed.
        """
        if self._pages is None:
            raise ValueError("The buffer is closed.")
        with memoryview(self._pages) as pages:
            return pages[start : self._size if end is None else end].toreadonly()

    def close(self) -> None:
        """Returns the memory: now, or with the last view."""
        pages, self._pages = self._pages, None
        if pages is not None:
            with suppress(BufferError):
                pages.close()
