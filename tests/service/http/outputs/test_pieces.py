"""A response is sent piece by piece, and others have the event loop between them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Message

from service.fairness.answer_budget import PIECE_BYTES
from service.fairness.paced import run_paced
from service.fairness.pacing import MOST_OWED_SECONDS, Pacer
from service.http.outputs.pieces import send_in_pieces
from tests.service.fairness.test_pacing import LONG_SECONDS, Clock, run

LARGE = bytes(range(256)) * (4 * PIECE_BYTES // 256) + b"!"


class Sent:
    """A server whose client reads at once."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def pieces(self) -> list[bytes]:
        return [message["body"] for message in self.messages[1:]]


@pytest.mark.parametrize("body", [b"", b"a", LARGE[:PIECE_BYTES], LARGE])
def test_the_pieces_are_the_body(body: bytes) -> None:
    sent = Sent()
    asyncio.run(send_in_pieces(Response(body, status_code=203), sent))
    assert sent.messages[0]["status"] == 203
    assert (b"content-length", b"%d" % len(body)) in sent.messages[0]["headers"]
    assert b"".join(sent.pieces) == body
    assert max(map(len, sent.pieces)) <= PIECE_BYTES
    assert [message["more_body"] for message in sent.messages[1:]][-1] is False
    assert all(message["more_body"] for message in sent.messages[1:-1])


def test_another_task_runs_between_two_pieces() -> None:
    sent, seen = Sent(), []

    async def other() -> None:
        while len(sent.pieces) < 5:
            seen.append(len(sent.pieces))
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(send_in_pieces(Response(LARGE), sent), other())

    asyncio.run(both())
    assert {1, 2, 3, 4} <= set(seen)


def test_the_next_piece_waits_while_another_client_is_served() -> None:
    async def work(pacer: Pacer, _: Clock) -> None:
        sent = Sent()

        async def respond() -> Any:
            await send_in_pieces(Response(LARGE), sent)

        flood = run_paced(pacer, "flood", respond, most_seconds=LONG_SECONDS)
        task = asyncio.ensure_future(flood)
        await asyncio.sleep(0)
        pacer.charge("flood", MOST_OWED_SECONDS)
        honest = await pacer.begin("honest", LONG_SECONDS)
        await asyncio.sleep(0)
        begun = len(sent.pieces)
        await asyncio.sleep(0.01)
        assert len(sent.pieces) == begun < 5
        pacer.end(honest, 0.0)
        await task
        assert len(sent.pieces) == 5

    run(work)
