"""A client of the event loop, and one of its requests."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

# What a client's first request is charged until its cost is known.
FIRST_COST_SECONDS = 0.0005


@dataclass(slots=True, eq=False)
class LoopClient:
    """tag, owes: of `Debtor`. cost_seconds: of its last request. served: requests that have
    started. first: whether it is counted as one that goes first.
    """

    tag: float
    cost_seconds: float = FIRST_COST_SECONDS
    served: int = 0
    first: bool = False
    owes: bool = False
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Turn:
    """A request that has started, and what it was charged so far."""

    client: LoopClient
    charged_seconds: float
