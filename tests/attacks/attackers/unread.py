"""Requests whose responses are not read."""

from __future__ import annotations

import asyncio

from tests.attacks.attackers.config import AttackerConfig, Findings, run_until_end
from tests.attacks.attackers.connection import CONNECTION_ERRORS, Connection
from tests.attacks.attackers.flood import IMAGES
from tests.attacks.attackers.requests import FORM, form_of, get, head_of, post

SCRIPT = "/static-offline-docs/swagger-ui-bundle.js"
RECEIVE_BYTES = 2048
READERS = 300
# More bytes than the system's buffers take.
FILES = 8
PIPELINES = 8
BUSY = 4
LARGE_ANSWERS, MANY_ANSWERS = 16, 100
SLOW_READERS, SLOW_BYTES, SLOW_SECONDS = 100, 2048, 0.5
PAUSE_SECONDS = 0.05


async def static_file(config: AttackerConfig) -> Findings:
    """300 connections with 8 pipelined requests for a file of 1.5 MB."""
    return await _ask(config, get(SCRIPT) * FILES, READERS)


async def large_answers(config: AttackerConfig) -> Findings:
    """16 connections with 3 pipelined requests, each with a response of about 3 MB."""
    request = post(form_of(config.photo, IMAGES), FORM, query="?top_k=1000")
    return await _ask(config, request * 3, LARGE_ANSWERS)


async def many_large_answers(config: AttackerConfig) -> Findings:
    """The same on 100 connections."""
    request = post(form_of(config.photo, IMAGES), FORM, query="?top_k=1000")
    return await _ask(config, request, MANY_ANSWERS)


async def slowly_read(config: AttackerConfig) -> Findings:
    """100 connections of HTTP/1.0 for a file of 1.5 MB, of which some bytes a second are read."""
    seen = Findings()
    request = get(SCRIPT).replace(b"HTTP/1.1", b"HTTP/1.0")

    async def client() -> None:
        try:
            async with await Connection.open(config, receive_bytes=RECEIVE_BYTES) as connection:
                await connection.send(request)
                seen.counts["asked"] += 1
                while await connection.receive(SLOW_BYTES):
                    await asyncio.sleep(SLOW_SECONDS)
        except CONNECTION_ERRORS:
            pass
        seen.counts["closed"] += 1

    await run_until_end(config, *(client() for _ in range(SLOW_READERS)))
    return seen


async def refusals(config: AttackerConfig) -> Findings:
    """Pipelined requests with a deadline that is refused while other requests keep the queue
    filled."""
    seen = Findings()
    late = head_of(0, b"image/jpeg", b"X-Request-Timeout-Ms: 1", b"X-Request-ID: " + b"a" * 100)
    busy = post(form_of(config.photo, IMAGES), FORM)

    async def keep_busy() -> None:
        while True:
            try:
                async with await Connection.open(config) as connection:
                    await connection.exchange(busy)
            except CONNECTION_ERRORS:
                await asyncio.sleep(PAUSE_SECONDS)

    async def client() -> None:
        try:
            async with await Connection.open(config, receive_bytes=RECEIVE_BYTES) as connection:
                while True:
                    await connection.send(late * 40)
                    seen.counts["asked"] += 40
                    await asyncio.sleep(PAUSE_SECONDS)
        except CONNECTION_ERRORS:
            seen.counts["closed"] += 1

    clients = [client() for _ in range(PIPELINES)]
    await run_until_end(config, *(keep_busy() for _ in range(BUSY)), *clients)
    return seen


async def _ask(config: AttackerConfig, request: bytes, connections: int) -> Findings:
    seen = Findings()

    async def client() -> None:
        try:
            async with await Connection.open(config, receive_bytes=RECEIVE_BYTES) as connection:
                await connection.send(request)
                seen.counts["asked"] += 1
                await asyncio.sleep(config.seconds_left)
        except CONNECTION_ERRORS:
            seen.counts["closed"] += 1

    await run_until_end(config, *(client() for _ in range(connections)))
    return seen
