"""Cancels the work of a request whose client has disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Disconnected(Exception):
    """The client disconnected before it had its result."""


async def cancel_on_disconnect(
    disconnected: Coroutine[Any, Any, object], work: Coroutine[Any, Any, T]
) -> T:
    """The work's result. Cancels the work and raises Disconnected if the client goes first.

    disconnected: ends when the client is gone; cancelled when the work is done.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(disconnected)
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Disconnected
        return working.result()
    finally:
        gone.cancel()
        working.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)
