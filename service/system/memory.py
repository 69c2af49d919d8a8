"""How much memory this process may use, and memory that is returned to the system."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
# Version 2, then version 1 of control groups.
LIMIT_FILES = ("memory.max", "memory/memory.limit_in_bytes")
MAPS = Path("/proc/self/maps")


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


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """Of this process; 0 where the system has no /proc."""
    try:
        pages = int(statm.read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def release_file(path: Path) -> None:
    """Takes the pages of a mapped file out of this process's memory; reads bring them back.

    Of mappings that are not written to. Does nothing where the system has no /proc.
    """
    try:
        maps = MAPS.read_text().splitlines()
    except OSError:
        return
    madvise = c_library().madvise
    for fields in (line.split(maxsplit=5) for line in maps):
        if len(fields) == 6 and fields[5] == str(path) and fields[1].startswith("r--"):
            first, end = (int(address, 16) for address in fields[0].split("-"))
            madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), mmap.MADV_DONTNEED)
