"""Tests of HTTP semantics: pipelining, half-close, upgrades, Host, versions."""

from __future__ import annotations

import asyncio
import re

from tests.attacks.attackers.config import NO_ANSWER, AttackerConfig, Findings
from tests.attacks.attackers.connection import CONNECTION_ERRORS, Connection
from tests.attacks.attackers.requests import get, head_of, post

PIPELINED = (100, 1000, 5000, 20_000)
TIMES = 10
QUIET_SECONDS = 2.0
ANSWER_SECONDS = 20.0
SEGMENT_SECONDS = 0.1
# A body may speak of HTTP/1.1 too.
RESPONSE = re.compile(rb"HTTP/1\.[01] (\d{3}) (.*?)(?=HTTP/1\.[01] \d{3} |\Z)", re.DOTALL)
# Its response is recognized by the id.
HIDDEN = get("/models", b"X-Request-ID: hidden")
UPGRADES = {
    "h2c": (
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQAAP__",
    ),
    "websocket": (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
}
HOSTS = {
    "no Host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
}
VERSIONS = {
    "HTTP/0.9": b"GET /health/live\r\n\r\n",
    "HTTP/2.0": b"GET /health/live HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/9.9": b"GET /health/live HTTP/9.9\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(60),
}


async def pipelined(config: AttackerConfig) -> Findings:
    """Pipelined GETs, 100 to 20 000 on a connection; every response is read."""
    seen = Findings()
    for count in PIPELINED:
        seen.counts["asked"] += count
        try:
            async with await Connection.open(config) as connection:
                sending = asyncio.ensure_future(connection.send(get("/health/live") * count))
                try:
                    await asyncio.wait_for(_read(connection, count, seen), ANSWER_SECONDS)
                finally:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
        except CONNECTION_ERRORS:
            seen.counts[f"of {count} not all"] += 1
    return seen


async def _read(connection: Connection, count: int, seen: Findings) -> None:
    for _ in range(count):
        seen.statuses[(await connection.response()).status] += 1


async def half_closed(config: AttackerConfig) -> Findings:
    """A client that ends its sending direction after the request and waits for the response."""
    seen = Findings()
    for _ in range(TIMES):
        seen.counts["asked"] += 1
        try:
            async with await Connection.open(config) as connection:
                await connection.send(post(config.photo, b"image/jpeg"))
                connection.half_close()
                response = await asyncio.wait_for(connection.response(), ANSWER_SECONDS)
                seen.statuses[response.status] += 1
        except CONNECTION_ERRORS:
            seen.statuses[NO_ANSWER] += 1
    return seen


async def upgrades(config: AttackerConfig) -> Findings:
    """A request for an upgrade whose body is a request and comes in a second segment."""
    seen = Findings()
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    for headers in UPGRADES.values():
        for length, body in ((len(HIDDEN), HIDDEN), (None, chunk)):
            seen.counts["asked"] += 1
            try:
                async with await Connection.open(config) as connection:
                    await connection.send(head_of(length, b"image/jpeg", *headers))
                    await asyncio.sleep(SEGMENT_SECONDS)
                    await connection.send(body)
                    _count(await connection.received(QUIET_SECONDS), seen)
            except CONNECTION_ERRORS:
                seen.statuses[NO_ANSWER] += 1
    return seen


async def hosts(config: AttackerConfig) -> Findings:
    return await _refused(config, HOSTS)


async def versions(config: AttackerConfig) -> Findings:
    return await _refused(config, VERSIONS)


async def _refused(config: AttackerConfig, requests: dict[str, bytes]) -> Findings:
    """counts: by the request's name, those that are answered with 200."""
    seen = Findings()
    for name, request in requests.items():
        seen.counts["asked"] += 1
        try:
            async with await Connection.open(config) as connection:
                await connection.send(request)
                received = await connection.received(QUIET_SECONDS)
        except CONNECTION_ERRORS:
            received = b""
        if b" 200" in received[:12] or b'"status":"live"' in received:
            seen.counts[name] += 1
        _count(received, seen)
    return seen


def _count(received: bytes, seen: Findings) -> None:
    """Counts the statuses of all responses, and those to the hidden request."""
    if not received:
        seen.statuses[NO_ANSWER] += 1
    for status, response in RESPONSE.findall(received):
        seen.statuses[int(status)] += 1
        seen.counts["hidden answered"] += b"x-request-id: hidden" in response.lower()
