"""Memory that is no longer used, handed back to the system."""

from __future__ import annotations

import ctypes
import gc


def c_library() -> ctypes.CDLL:
    """Unlike `ctypes.pythonapi`, it releases the interpreter's lock during a call."""
    return ctypes.CDLL(None)


def trim_memory() -> None:
    """Garbage, and what is free in the arenas of all threads, which glibc keeps.

    What loading leaves behind, or a queue of images: holes in the arenas of the threads that
    made them. Of itself glibc gives back what is free at an arena's end alone. A C library without
    `malloc_trim` returns it, or not, on its own.
    """
    gc.collect()
    if trim := getattr(c_library(), "malloc_trim", None):
        trim(0)
