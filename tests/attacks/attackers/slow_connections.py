"""Connections that are kept open without complete requests, and large headers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.attacks.attackers.config import NO_ANSWER, AttackerConfig, Findings, run_until_end
from tests.attacks.attackers.connection import CONNECTION_ERRORS, Connection
from tests.attacks.attackers.flood import CONNECTIONS, flood
from tests.attacks.attackers.requests import get

HEALTH = get("/health/live")
SLOW = 200
IDLE = 400
IDLE_EACH = 100
DRIP_SECONDS = 1.0
AGAIN_SECONDS = 0.2
LARGE_HEADER_BYTES = 100 * 2**10

SlowClient = Callable[[Connection], Awaitable[None]]


async def line_breaks(config: AttackerConfig) -> Findings:
    """200 keep-alive connections that send an empty line after one request."""

    async def client(connection: Connection) -> None:
        await connection.send(HEALTH)
        await connection.response()
        await connection.send(b"\r\n")
        await connection.receive()

    return await _slowly(config, client)


async def header_drip(config: AttackerConfig) -> Findings:
    """200 headers that do not end, a byte a second."""

    async def client(connection: Connection) -> None:
        await connection.send(b"POST /predict HTTP/1.1\r\nX-Slow: ")
        while True:
            await connection.send(b"a")
            await asyncio.sleep(DRIP_SECONDS)

    return await _slowly(config, client)


async def large_header(config: AttackerConfig) -> Findings:
    """A header of 100 KiB in one segment."""
    return await flood(
        config, get("/health/live", b"X-Long: " + b"a" * LARGE_HEADER_BYTES), CONNECTIONS
    )


async def idle(config: AttackerConfig) -> Findings:
    """400 connections from one address."""
    return await _idle(config, IDLE)


async def idle_each(config: AttackerConfig) -> Findings:
    """100 connections from each of several addresses."""
    return await _idle(config, IDLE_EACH)


async def _idle(config: AttackerConfig, connections: int) -> Findings:
    """Each sends one request and stays open. A closed connection is opened again."""
    seen = Findings()

    async def client() -> None:
        while True:
            try:
                async with await Connection.open(config) as connection:
                    seen.statuses[(await connection.exchange(HEALTH)).status] += 1
                    await connection.receive()
                    seen.counts["closed"] += 1
            except CONNECTION_ERRORS:
                seen.statuses[NO_ANSWER] += 1
            await asyncio.sleep(AGAIN_SECONDS)

    await run_until_end(config, *(client() for _ in range(connections)))
    return seen


async def _slowly(config: AttackerConfig, client: SlowClient) -> Findings:
    """200 connections. A closed one is not opened again, so that those at the end were held."""
    seen = Findings()

    async def one() -> None:
        try:
            async with await Connection.open(config) as connection:
                seen.counts["opened"] += 1
                await client(connection)
        except CONNECTION_ERRORS:
            pass
        seen.counts["closed"] += 1

    await run_until_end(config, *(one() for _ in range(SLOW)))
    return seen
