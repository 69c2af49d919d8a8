"""Free memory is returned to the system."""

from __future__ import annotations

import ctypes
import sys

import psutil
import pytest

from service.system import memory


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_free_memory_is_returned_to_the_system() -> None:
    process = psutil.Process()
    # Blocks of 64 kB, of which one in a hundred is kept: glibc alone would not return the others.
    blocks = [bytearray(64 * 1024) for _ in range(2000)]
    full = process.memory_info().rss
    kept = blocks[::100]
    blocks.clear()
    memory.trim_memory()
    left = process.memory_info().rss
    assert kept
    assert full - left > 60 * 2**20


def test_other_threads_run_during_the_call() -> None:
    """A PyDLL would hold the interpreter's lock for as long as the call takes."""
    assert not isinstance(memory.c_library(), ctypes.PyDLL)
