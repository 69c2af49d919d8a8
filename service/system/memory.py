"""How much memory this process may use, and memory that is handed back to the system."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
# Version 2, then version 1 of control groups.
LIMIT_FILES = ("memory.max", "memory/memory.limit_in_bytes")


def memory_limit(cgroup: Path = CGROUP) -> int:
    """Bytes: the container's limit, or the machine's memory where that is less or there is none."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in LIMIT_FILES:
        try:
            text = (cgroup / name).read_text().strip()
        except OSError:
            continue
        # "max" in version 2; a number beyond any machine's memory in version 1.
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


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
