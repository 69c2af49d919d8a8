"""What an attacker is given, and what it reports."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

# A connection that the server closed or never accepted; not an HTTP status.
NO_ANSWER = 0
CANCEL_SECONDS = 0.2


class Link:
    """Limits the rate at which an attacker sends."""

    def __init__(self, bytes_per_second: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._free_at = 0.0

    async def carry(self, size: int) -> None:
        """Waits until so many more bytes have been carried."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + size / self._bytes_per_second
        await asyncio.sleep(self._free_at - now)


@dataclass(frozen=True)
class AttackerConfig:
    """One attacking address.

    port: the target's, on 127.0.0.1. source: the address that the attacker connects from.
    ends: the end of the attack on the clock of `time.monotonic`, which all processes share.
    photo: a JPEG of ordinary size. images: a folder with one expensive image for each format
    (`tests.attacks.images`). body_bytes: the server's limit. bytes_per_second: the attacker's
    share of the link. grpc_port: of a lone server that serves gRPC too. link: what everything that
    the attacker sends is carried by.
    """

    port: int
    source: str
    ends: float
    photo: bytes
    images: Path
    body_bytes: int
    bytes_per_second: float
    grpc_port: int | None = None
    link: Link = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "link", Link(self.bytes_per_second))

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.ends - time.monotonic())


@dataclass
class Findings:
    """statuses: of the responses. counts: what an attack counts besides, by names of its own."""

    statuses: Counter[int] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    cpu_seconds: float = 0.0

    def add(self, other: Findings) -> None:
        self.statuses += other.statuses
        self.counts += other.counts
        self.cpu_seconds += other.cpu_seconds


AttackerFn = Callable[[AttackerConfig], Awaitable[Findings]]


async def run_until_end(config: AttackerConfig, *clients: Awaitable[None]) -> None:
    """Runs the clients concurrently and cancels them at the end of the attack.

    Raises what a client raises.
    """
    tasks = [asyncio.ensure_future(client) for client in clients]
    done, pending = await asyncio.wait(tasks, timeout=config.seconds_left)
    while pending:
        # Up to Python 3.11, wait_for may discard a cancellation.
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_SECONDS)
    for task in done:
        task.result()
