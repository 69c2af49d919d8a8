"""A request's body as it arrives, its bytes counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing

from starlette.requests import Request

from service.errors import UploadTimeout
from service.fairness.paced import charge_bytes, metered
from service.http.request.body import Body
from service.http.request.inflater import Inflater, too_large
from service.settings import Settings

# One read of a socket, by uvloop and asyncio.
FIRST_BYTES = 256 * 1024


def announced_length(request: Request, max_bytes: int) -> int | None:
    """What is announced. Refuses what is too large before any of it is read."""
    text = request.headers.get("Content-Length", "")
    if not (text.isascii() and text.isdecimal()):
        return None
    # More digits than any limit has are not worth a number.
    length = int(text[:20])
    if length > max_bytes:
        raise too_large(max_bytes, length)
    return length


async def receive(
    request: Request,
    body: Body,
    settings: Settings,
    take: Callable[[bytes], None],
    inflater: Inflater | None = None,
) -> None:
    """Gives what arrives to `take`, piece by piece, and inflated where there is an inflater.

    Raises MalformedRequest, MemoryFull, PayloadTooLarge, UploadTimeout, what `take` raises, and
    starlette's ClientDisconnect.
    """
    timeout_seconds = settings.http.request_timeout_seconds
    inflate = None if inflater is None else inflater.pieces
    stream = _stream(request, body, settings.limits.max_body_bytes, take, inflate)
    try:
        await asyncio.wait_for(metered(stream), timeout_seconds)
    except asyncio.TimeoutError:
        raise UploadTimeout(f"The body did not arrive within {timeout_seconds:g} s.") from None
    if inflater is not None:
        inflater.check()


async def _stream(
    request: Request,
    body: Body,
    max_bytes: int,
    take: Callable[[bytes], None],
    inflate: Callable[[bytes], Iterator[bytes]] | None,
) -> None:
    received = 0
    # The server has read this much of a large one.
    await body.next_turn(min(body.capacity, FIRST_BYTES))
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            received += len(chunk)
            charge_bytes(len(chunk))
            if received > max_bytes:
                raise too_large(max_bytes, received)
            if inflate is None:
                take(chunk)
                await body.next_turn(len(chunk))
                continue
            for piece in inflate(chunk):
                take(piece)
                # A chunk may become a thousand times as long.
                await body.next_turn(len(piece))
