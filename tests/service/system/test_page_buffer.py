"""Bytes in memory of their own."""

from __future__ import annotations

import sys

import psutil
import pytest

from service.system.page_buffer import HEAP_BYTES, PageBuffer

MEGABYTE = 2**20


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


CAPACITIES = pytest.mark.parametrize("capacity", [10, HEAP_BYTES, HEAP_BYTES + 1])


@CAPACITIES
def test_views_keep_what_they_show_while_it_grows_and_once_it_is_closed(capacity: int) -> None:
    buffer = PageBuffer(capacity)
    expected = [b"abc", b"abcdef", b"abcdefghi"]
    views = []
    for piece in (b"abc", b"def", b"ghi"):
        buffer.append(piece)
        views.append(buffer.view())
    assert [bytes(view) for view in views] == expected
    buffer.close()
    assert [bytes(view) for view in views] == expected
    assert all(view.readonly for view in views)


@CAPACITIES
def test_what_is_written_is_there(capacity: int) -> None:
    buffer = PageBuffer(capacity)
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


@pytest.mark.parametrize("capacity", [3, HEAP_BYTES, HEAP_BYTES + 1])
def test_no_more_than_its_capacity(capacity: int) -> None:
    buffer = PageBuffer(capacity)
    buffer.append(bytes(capacity))
    with pytest.raises(ValueError, match=rf"room for {capacity} bytes\. Received: {capacity + 1}"):
        buffer.append(b"d")
    assert len(buffer) == len(buffer.view()) == capacity


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
    assert 99 * MEGABYTE < full - before < 110 * MEGABYTE
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
