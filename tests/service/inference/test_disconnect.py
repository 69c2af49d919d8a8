"""The work of a request ends with its result, its error or its client's connection."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from service.inference.disconnect import Disconnected, cancel_on_disconnect
from tests.service.fakes import WAIT_SECONDS

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, WAIT_SECONDS))


class Endless:
    """Work, or a connection, that ends only when it is cancelled."""

    cancelled = False

    async def __call__(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def at_once(result: T) -> T:
    return result


def test_a_result_ends_the_wait_for_the_client() -> None:
    connection = Endless()
    assert run(cancel_on_disconnect(connection(), at_once("result"))) == "result"
    assert connection.cancelled


def test_an_error_is_raised_as_it_is() -> None:
    async def fail() -> None:
        raise KeyError("model")

    connection = Endless()
    with pytest.raises(KeyError):
        run(cancel_on_disconnect(connection(), fail()))
    assert connection.cancelled


def test_a_client_that_leaves_cancels_the_work() -> None:
    work = Endless()
    with pytest.raises(Disconnected):
        run(cancel_on_disconnect(at_once(None), work()))
    assert work.cancelled


def test_a_result_that_is_there_when_the_client_leaves_is_kept() -> None:
    assert run(cancel_on_disconnect(at_once(None), at_once("result"))) == "result"


def test_a_caller_that_is_cancelled_cancels_both() -> None:
    connection, work = Endless(), Endless()

    async def cancel() -> None:
        waiting = asyncio.ensure_future(cancel_on_disconnect(connection(), work()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(cancel())
    assert connection.cancelled
    assert work.cancelled
