"""Where received bytes are cut: never beyond the end of a message."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from service.http.connection.received import ReceivedBytes

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST_HEADER = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
BODY = b"12\r\n\r\n345"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\r\n\r\r\n0\r\nX: y\r\n\r\n"
# Each message, and where the bodies of known length begin.
MESSAGES = [GET, POST_HEADER + BODY, CHUNKED, b"\r\n" + GET, CHUNKED, POST_HEADER + BODY, GET]
STREAM = b"".join(MESSAGES)
ENDS = {sum(map(len, MESSAGES[: number + 1])) for number in range(len(MESSAGES))}


def pieces(segments: list[bytes]) -> list[bytes]:
    """What a parser would be given. The body's length is known once its header was given out."""
    received = ReceivedBytes()
    given = bytearray()
    found = []
    for data in segments:
        received.add(data)
        while received.left:
            found.append(received.piece())
            given += found[-1]
            if given.endswith(POST_HEADER):
                received.body_left = len(BODY)
    return found


def assert_ends_are_cut(segments: list[bytes]) -> None:
    found = pieces(segments)
    assert b"".join(found) == STREAM
    cuts = {sum(map(len, found[: number + 1])) for number in range(len(found))}
    assert cuts >= ENDS


def test_every_message_ends_a_piece() -> None:
    assert_ends_are_cut([STREAM])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_every_message_ends_a_piece_in_small_segments(size: int) -> None:
    assert_ends_are_cut([STREAM[at : at + size] for at in range(0, len(STREAM), size)])


def test_every_message_ends_a_piece_wherever_the_segments_end() -> None:
    for first in range(1, len(STREAM)):
        assert_ends_are_cut([STREAM[:first], STREAM[first:]])
    generator = random.Random(1)
    for _ in range(500):
        ends = sorted({0, len(STREAM), *generator.sample(range(len(STREAM)), 12)})
        assert_ends_are_cut([STREAM[a:b] for a, b in pairwise(ends)])


def test_one_request_is_one_piece() -> None:
    assert pieces([GET]) == [GET]
    assert pieces([POST_HEADER + BODY]) == [POST_HEADER, BODY]


def test_what_is_added_waits_for_its_turn() -> None:
    received = ReceivedBytes()
    received.add(GET + GET)
    assert received.piece() == GET
    received.add(GET[:5])
    received.add(GET[5:])
    assert received.left == 2 * len(GET)
    assert [received.piece(), received.piece()] == [GET, GET]
    assert received.left == 0
    received.add(GET)
    received.clear()
    assert received.left == 0


def test_what_is_no_body_of_known_length_is_counted() -> None:
    received = ReceivedBytes()
    for part in (b"abc", b"abc"):
        received.add(part)
        received.piece()
    assert received.header_bytes == 6
    received.body_left = 2
    received.add(b"abcd")
    assert (received.piece(), received.header_bytes) == (b"ab", 6)
    assert (received.piece(), received.header_bytes) == (b"cd", 8)
