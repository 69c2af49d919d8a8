"""Returns unused memory to the system."""

from __future__ import annotations

import ctypes
import gc


def c_library() -> ctypes.CDLL:
    """The C library. Unlike `ctypes.pythonapi`, its calls release the interpreter's lock."""
    return ctypes.CDLL(None)


def trim_memory() -> None:
    """Collects garbage, and returns the free memory of all of glibc's arenas to the system.

    Loading a model, or a queue of images, leaves free blocks inside the arenas of the threads that
    allocated them; otherwise glibc returns only free memory at an arena's end. Without
    `malloc_trim`, as in musl, only garbage is collected.
    """
    gc.collect()
    if trim := getattr(c_library(), "malloc_trim", None):
        trim(0)
