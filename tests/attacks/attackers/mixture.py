"""Several attacks at the same time."""

from __future__ import annotations

import asyncio

from tests.attacks.attackers import flood, slow_connections, unread, uploads
from tests.attacks.attackers.config import AttackerConfig, Findings

MIXTURE = (uploads.trickle, slow_connections.header_drip, unread.static_file, flood.models)


async def mixture(config: AttackerConfig) -> Findings:
    """Bodies and headers that do not end, responses that are not read, and a flood."""
    seen = Findings()
    for findings in await asyncio.gather(*(attacker(config) for attacker in MIXTURE)):
        seen.add(findings)
    return seen
