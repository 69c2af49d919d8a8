"""Requests in a loop; every response is read."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from tests.attacks.attackers.config import NO_ANSWER, AttackerConfig, Findings, run_until_end
from tests.attacks.attackers.connection import CONNECTION_ERRORS, Connection
from tests.attacks.attackers.requests import FORM, form_of, get, post

CONNECTIONS = 8
# Before a new connection after a failed one.
AGAIN_SECONDS = 0.05
# RESNET_MAX_FILES.
IMAGES = 32
# Of one client.
KEYS = [f"an-attacker-s-key-{number}" for number in range(32)]


async def flood(
    config: AttackerConfig, request: bytes | Callable[[], bytes], connections: int
) -> Findings:
    """Sends requests one after another on each connection. request: its bytes, or a function that
    makes them."""
    seen = Findings()

    async def client() -> None:
        while True:
            try:
                async with await Connection.open(config) as connection:
                    closes = False
                    while not closes:
                        data = request() if callable(request) else request
                        response = await connection.exchange(data)
                        seen.statuses[response.status] += 1
                        closes = response.closes
            except CONNECTION_ERRORS:
                seen.statuses[NO_ANSWER] += 1
                await asyncio.sleep(AGAIN_SECONDS)

    await run_until_end(config, *(client() for _ in range(connections)))
    return seen


async def health(config: AttackerConfig) -> Findings:
    return await flood(config, get("/health/ready"), CONNECTIONS)


async def metrics(config: AttackerConfig) -> Findings:
    return await flood(config, get("/metrics"), CONNECTIONS)


async def models(config: AttackerConfig) -> Findings:
    return await flood(config, get("/models"), CONNECTIONS)


async def not_found(config: AttackerConfig) -> Findings:
    return await flood(config, get("/nowhere"), CONNECTIONS)


async def wrong_keys(config: AttackerConfig) -> Findings:
    numbers = iter(range(1_000_000_000))
    return await flood(
        config, lambda: get("/models", b"X-API-Key: guess-%d" % next(numbers)), CONNECTIONS
    )


async def many_classes(config: AttackerConfig) -> Findings:
    """Responses of about 3 MB."""
    body = form_of(config.photo, IMAGES)
    return await flood(config, post(body, FORM, query="?top_k=1000"), CONNECTIONS)


async def photos(config: AttackerConfig) -> Findings:
    """Fills the queue: 16 connections, 32 photos a request."""
    return await flood(config, post(form_of(config.photo, IMAGES), FORM), 2 * CONNECTIONS)


async def some_photos(config: AttackerConfig) -> Findings:
    """4 connections, 8 photos a request; several addresses fill the queue together."""
    return await flood(config, post(form_of(config.photo, 8), FORM), 4)


async def photos_of_keys(config: AttackerConfig) -> Findings:
    """The same, each request with another of one client's keys."""
    body, numbers = form_of(config.photo, IMAGES), itertools.cycle(range(len(KEYS)))

    def request() -> bytes:
        return post(body, FORM, b"X-API-Key: " + KEYS[next(numbers)].encode())

    return await flood(config, request, 2 * CONNECTIONS)


async def forged_of_one_network(config: AttackerConfig) -> Findings:
    """As a trusted proxy passes them on: addresses of one client's IPv6 network."""
    numbers = iter(range(1_000_000_000))
    return await flood(
        config,
        lambda: get("/nowhere", b"X-Forwarded-For: 2001:db8:1:2::%x" % next(numbers)),
        4,
    )


async def forged_addresses(config: AttackerConfig) -> Findings:
    """A different X-Forwarded-For in each request."""
    numbers = iter(range(1_000_000_000))

    def request() -> bytes:
        number = next(numbers)
        forged = b"X-Forwarded-For: 10.%d.%d.%d" % (
            number >> 16 & 255,
            number >> 8 & 255,
            number & 255,
        )
        # Costs little, and takes a token of the rate limit like any other path.
        return get("/nowhere", forged)

    return await flood(config, request, 4)
