"""A response's head and body are one packet, and a head without a body does not wait for one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.http.connection.joined_head import JoinedHead


class Transport(asyncio.Transport):
    """Records what is written, in the calls in which it is."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def transport() -> Transport:
    return Transport()


def joined(transport: Transport) -> JoinedHead:
    return JoinedHead(transport, asyncio.get_running_loop())


def test_a_head_and_the_body_that_follows_at_once_are_one_write(transport: Transport) -> None:
    async def respond() -> None:
        response = joined(transport)
        response.write(b"head")
        response.write(b"body")
        response.write(b"more")
        await asyncio.sleep(0)

    asyncio.run(respond())
    assert transport.written == [b"headbody", b"more"]


def test_a_head_leaves_in_the_next_turn_of_the_loop(transport: Transport) -> None:
    async def respond() -> None:
        response = joined(transport)
        response.write(b"head")
        assert transport.written == []
        await asyncio.sleep(0)
        assert transport.written == [b"head"]
        response.write(b"body")

    asyncio.run(respond())
    assert transport.written == [b"head", b"body"]


def test_closing_sends_what_is_held_first(transport: Transport) -> None:
    async def respond() -> None:
        response = joined(transport)
        response.write(b"head")
        response.close()
        assert transport.written == [b"head"]
        assert response.is_closing()
        await asyncio.sleep(0)

    asyncio.run(respond())
    assert transport.written == [b"head"]
