"""Bodies that do not end."""

from __future__ import annotations

import asyncio

from tests.attacks.attackers.config import NO_ANSWER, AttackerConfig, Findings, run_until_end
from tests.attacks.attackers.connection import CONNECTION_ERRORS, Connection
from tests.attacks.attackers.requests import FORM, head_of, part_of

UPLOADS = 60
PIECE = bytes(256 * 2**10)
# Before a new connection after a failed one.
AGAIN_SECONDS = 0.2
TRICKLES = 200
TRICKLE_SECONDS = 0.5


async def raw(config: AttackerConfig) -> Findings:
    return await _unfinished(
        config, head_of(config.body_bytes, b"image/jpeg"), config.body_bytes - 1
    )


async def chunked(config: AttackerConfig) -> Findings:
    return await _unfinished(
        config, head_of(None, b"image/jpeg"), config.body_bytes - 1, chunked=True
    )


async def form(config: AttackerConfig) -> Findings:
    begin = part_of(b"").removesuffix(b"\r\n")
    head = head_of(config.body_bytes, FORM) + begin
    return await _unfinished(config, head, config.body_bytes - 1 - len(begin))


async def _unfinished(
    config: AttackerConfig, head: bytes, size: int, chunked: bool = False
) -> Findings:
    """60 connections, each of which sends so many bytes of a body and waits."""
    seen = Findings()

    async def body(connection: Connection) -> None:
        await connection.send(head)
        sent = 0
        while sent < size:
            piece = PIECE[: size - sent]
            await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            sent += len(piece)
        seen.counts["held"] += 1

    async def client() -> None:
        while True:
            sending = None
            try:
                async with await Connection.open(config) as connection:
                    sending = asyncio.ensure_future(body(connection))
                    seen.statuses[(await connection.response()).status] += 1
            except CONNECTION_ERRORS:
                seen.statuses[NO_ANSWER] += 1
            finally:
                if sending is not None:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
            await asyncio.sleep(AGAIN_SECONDS)

    await run_until_end(config, *(client() for _ in range(UPLOADS)))
    return seen


async def trickle(config: AttackerConfig) -> Findings:
    """200 bodies, two bytes a second. A closed connection is not opened again."""
    seen = Findings()

    async def client() -> None:
        try:
            async with await Connection.open(config) as connection:
                await connection.send(head_of(config.body_bytes, b"image/jpeg"))
                while True:
                    await connection.send(b"x")
                    await asyncio.sleep(TRICKLE_SECONDS)
        except CONNECTION_ERRORS:
            seen.counts["closed"] += 1

    await run_until_end(config, *(client() for _ in range(TRICKLES)))
    return seen


async def hang_up(config: AttackerConfig) -> Findings:
    """4 clients that reset the connection in the middle of a body."""
    seen = Findings()
    request = head_of(config.body_bytes, b"image/jpeg") + bytes(config.body_bytes // 2)

    async def client() -> None:
        while True:
            try:
                async with await Connection.open(config) as connection:
                    await connection.send(request)
                    connection.abort()
                    seen.counts["left"] += 1
            except CONNECTION_ERRORS:
                seen.statuses[NO_ANSWER] += 1

    await run_until_end(config, *(client() for _ in range(4)))
    return seen
