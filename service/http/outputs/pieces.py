"""A response in pieces, between which the event loop does something else."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Send

from service.fairness.answer_budget import PIECE_BYTES
from service.fairness.paced import pause


async def send_in_pieces(response: Response, send: Send) -> None:
    """Each is sent when the client has read most of those before it.

    To one that reads at once, as a proxy, megabytes would be written in one turn of the loop.
    """
    start = {"type": "http.response.start", "status": response.status_code}
    await send({**start, "headers": response.raw_headers})
    body = memoryview(response.body)
    # One without content too.
    for place in range(0, max(1, len(body)), PIECE_BYTES):
        if place:
            await pause()
        end = place + PIECE_BYTES
        piece = bytes(body[place:end])
        await send({"type": "http.response.body", "body": piece, "more_body": end < len(body)})
