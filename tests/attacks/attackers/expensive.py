"""Requests within every limit that cost the most: images to decode, headers of forms to parse."""

from __future__ import annotations

import asyncio

from tests.attacks.attackers.config import NO_ANSWER, AttackerConfig, Findings, run_until_end
from tests.attacks.attackers.connection import CONNECTION_ERRORS, Connection
from tests.attacks.attackers.flood import AGAIN_SECONDS, IMAGES, flood
from tests.attacks.attackers.requests import (
    DISPOSITION,
    END,
    FORM,
    form_of,
    part_of,
    parts_that_fit,
    post,
)

SEMICOLONS = b";" * 4000
FORMS = 4
HANG_UPS = 4
TOO_LARGE = 413
# Between the end of the request and the disconnect.
STAY_SECONDS = 0.1


async def png(config: AttackerConfig) -> Findings:
    return await _form_of(config, "png")


async def jpeg(config: AttackerConfig) -> Findings:
    return await _form_of(config, "jpeg")


async def webp(config: AttackerConfig) -> Findings:
    return await _form_of(config, "webp")


async def avif(config: AttackerConfig) -> Findings:
    return await _form_of(config, "avif")


async def _form_of(config: AttackerConfig, name: str) -> Findings:
    """One request at a time, with as many copies of the image as the server accepts."""
    image = (config.images / name).read_bytes()
    count = parts_that_fit(image, config.body_bytes, IMAGES)
    seen = Findings()

    async def client() -> None:
        nonlocal count
        while True:
            try:
                async with await Connection.open(config) as connection:
                    response = await connection.exchange(post(form_of(image, count), FORM))
                    seen.statuses[response.status] += 1
                    if response.status == TOO_LARGE:
                        count = max(1, count // 2)
            except CONNECTION_ERRORS:
                seen.statuses[NO_ANSWER] += 1
            await asyncio.sleep(AGAIN_SECONDS)

    await run_until_end(config, client())
    return seen


async def single(config: AttackerConfig) -> Findings:
    """4 connections, one image a request."""
    return await flood(config, post((config.images / "png").read_bytes(), b"image/png"), HANG_UPS)


async def hang_up(config: AttackerConfig) -> Findings:
    """4 clients that send a complete request and disconnect."""
    seen = Findings()
    request = post((config.images / "png").read_bytes(), b"image/png")

    async def client() -> None:
        while True:
            try:
                async with await Connection.open(config) as connection:
                    await connection.send(request)
                    await asyncio.sleep(STAY_SECONDS)
                    seen.counts["left"] += 1
            except CONNECTION_ERRORS:
                seen.statuses[NO_ANSWER] += 1
                await asyncio.sleep(STAY_SECONDS)

    await run_until_end(config, *(client() for _ in range(HANG_UPS)))
    return seen


async def disposition(config: AttackerConfig) -> Findings:
    """32 parts, each with 4000 empty parameters in its Content-Disposition."""
    body = part_of(b"x", DISPOSITION + SEMICOLONS) * IMAGES + END
    return await flood(config, post(body, FORM), FORMS)


async def part_type(config: AttackerConfig) -> Findings:
    """32 parts, each with 4000 empty parameters in its Content-Type."""
    headers = DISPOSITION + b"\r\nContent-Type: image/jpeg" + SEMICOLONS
    return await flood(config, post(part_of(b"x", headers) * IMAGES + END, FORM), FORMS)


async def request_type(config: AttackerConfig) -> Findings:
    """4000 empty parameters in the Content-Type of the request."""
    return await flood(config, post(form_of(b"x", 1), FORM + SEMICOLONS), FORMS)
