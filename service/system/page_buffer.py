"""Bytes that are appended one after another, in memory of their own."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Any

# Private pages of no file. A system without them has another kind that is as good.
_PRIVATE: dict[str, Any] = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
)
# A buffer of at most so many bytes is of the C library's heap: to get and to return pages takes ten
# times the CPU time of writing them.
HEAP_BYTES = 256 * 1024


class PageBuffer:
    """Takes memory from the system as it is written, a page at a time, and returns it at once.

    The C library's heap does not: after buffers of megabytes that grew beside each other it keeps
    about what they held. Small buffers are of the heap all the same. Not for two threads at once.
    """

    def __init__(self, capacity: int) -> None:
        """capacity: bytes of address space, 1 or more; what is not written takes no memory."""
        self._capacity = capacity
        self._pages: mmap.mmap | bytearray | None = (
            bytearray() if capacity <= HEAP_BYTES else _pages(capacity)
        )
        self._size = 0

    def __len__(self) -> int:
        """Bytes that were written."""
        return self._size

    def append(self, data: bytes | memoryview) -> None:
        """Raises ValueError beyond the capacity, or once closed."""
        end = self._size + len(data)
        if self._pages is None or end > self._capacity:
            raise ValueError(f"There is room for {self._capacity} bytes. Received: {end}")
        if isinstance(self._pages, bytearray):
            try:
                self._pages += data
            except BufferError:
                # It has views, so it can't grow; pages can. Views keep what they show.
                written, self._pages = self._pages, _pages(self._capacity)
                self._pages[: self._size] = written
        if not isinstance(self._pages, bytearray):
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
        if isinstance(pages, mmap.mmap):
            with suppress(BufferError):
                pages.close()


def _pages(capacity: int) -> mmap.mmap:
    pages = mmap.mmap(-1, capacity, **_PRIVATE)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        # Else the first byte takes 2 MB where the system makes large pages unasked.
        with suppress(OSError):
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return pages
