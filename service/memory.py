"""Memory that the C library keeps after a load, handed back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """All that is free, in every thread's arena. Does nothing where the C library is not glibc.

    A queue's worth of pictures and bodies leaves holes in the arenas of the threads that made
    them. glibc itself only gives back what is free at an arena's end.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
