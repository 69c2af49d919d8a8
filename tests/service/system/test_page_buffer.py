"""Bytes in memory of their own."""

from __future__ import annotations

import sys

import psutil
import pytest

from service.system.page_buffer import PageBuffer

MEGABYTE = 2**20


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def test_what_is_written_is_there() -> None:
    buffer = PageBuffer(10)
    buffer.append(b"abc")
    first = buffer.view()
    buffer.append(memoryview(b"defg"))
    assert len(buffer) == 7
    assert [bytes(first), bytes(buffer.view()), bytes(buffer.view(2, 4))] == [
        b"abc",
        b"abcdefg",
        b"cd",
    ]
    assert bytes(buffer.view(7)) == b""
    assert first.readonly


def test_no_more_than_its_capacity() -> None:
    buffer = PageBuffer(3)
    buffer.append(b"abc")
    with pytest.raises(ValueError, match=r"room for 3 bytes\. Received: 4"):
        buffer.append(b"d")


def test_nothing_once_closed() -> None:
    buffer = PageBuffer(3)
    buffer.close()
    buffer.close()
    with pytest.raises(ValueError, match="room"):
        buffer.append(b"a")
    with pytest.raises(ValueError, match="closed"):
        buffer.view()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count it otherwise")
def test_memory_is_taken_as_it_is_written_and_returned_at_once() -> None:
    """Ten grow beside each other: the heap would keep the holes between those that are left."""
    before = resident()
    buffers = [PageBuffer(1000 * MEGABYTE) for _ in range(10)]
    assert resident() - before < 5 * MEGABYTE
    piece = b"x" * MEGABYTE
    for _ in range(10):
        for buffer in buffers:
            buffer.append(piece)
    full = resident()
    assert 100 * MEGABYTE < full - before < 110 * MEGABYTE
    for buffer in buffers[1:]:
        buffer.close()
    assert full - resident() > 85 * MEGABYTE


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count it otherwise")
def test_a_view_that_is_in_use_keeps_it_and_stays_right() -> None:
    buffer = PageBuffer(20 * MEGABYTE)
    buffer.append(b"x" * 20 * MEGABYTE)
    view = buffer.view(5)
    full = resident()
    buffer.close()
    assert bytes(view[:3]) == b"xxx"
    del view
    assert full - resident() > 15 * MEGABYTE
