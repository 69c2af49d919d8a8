"""Free memory is returned to the system."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

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


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("memory.max", "1048576", 2**20),
        ("memory/memory.limit_in_bytes", "1048576\n", 2**20),
        ("memory.max", "max", None),
        ("memory/memory.limit_in_bytes", "9223372036854771712", None),
        ("memory.max", "", None),
        ("none", "1", None),
    ],
)
def test_the_limit_of_the_container(
    tmp_path: Path, name: str, text: str, expected: int | None
) -> None:
    """Where there is none, it is what the machine has."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert memory.memory_limit(tmp_path) == (expected or psutil.virtual_memory().total)


def test_resident_memory_is_the_second_number_in_pages(tmp_path: Path) -> None:
    statm = tmp_path / "statm"
    statm.write_text("900 25 3 1 0 7 0\n")
    assert memory.resident_bytes(statm) == 25 * os.sysconf("SC_PAGE_SIZE")
    assert memory.resident_bytes(tmp_path / "none") == 0
