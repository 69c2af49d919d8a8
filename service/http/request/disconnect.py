"""Ends when the client of a request disconnects."""

from __future__ import annotations

from starlette.types import Receive


async def disconnected(receive: Receive) -> None:
    """receive: the request's own, its body read."""
    while (await receive())["type"] != "http.disconnect":
        pass
