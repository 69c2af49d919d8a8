"""One request that takes turns on the event loop, and where its work lets others go first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

from service.fairness.loop_client import Turn
from service.fairness.pacing import MOST_SECONDS, Pacer

ResultT = TypeVar("ResultT")

# What the loop takes for an image between its body and its result, about. Its tasks are not
# metered: each step of a task would cost two calls of the system.
IMAGE_SECONDS = 0.0003
# What it may take for one that took its turn on the device.
INFERRED_SECONDS = 0.002
# To receive a byte: the system's copy of it, the parser's, and a page of memory for it.
BYTE_SECONDS = 1e-9

_request: ContextVar[PacedRequest | None] = ContextVar("paced_request", default=None)


async def pause() -> None:
    """Long work calls it about once in a millisecond: the loop does something else.

    While another client within its share is served, the work of one beyond its share waits.
    """
    if not await give_way():
        await asyncio.sleep(0)


async def give_way(most_seconds: float = MOST_SECONDS) -> bool:
    """The same, where nobody else waits for the loop: whether the work had to wait.

    most_seconds: the longest that it waits, and never more than MOST_SECONDS.
    """
    request = _request.get()
    return request is not None and await request.give_way(min(most_seconds, MOST_SECONDS))


def charge_bytes(received: int) -> None:
    """Charges the request with what was received for it."""
    if (request := _request.get()) is not None:
        request.other_seconds += received * BYTE_SECONDS


def charge_images(images: int) -> None:
    """Charges the request with so many images, whatever becomes of them."""
    if (request := _request.get()) is not None:
        request.other_seconds += images * IMAGE_SECONDS


def credit_images(images: int) -> None:
    """So many of the request's images took their turns on the device."""
    if (request := _request.get()) is not None:
        request.credit_seconds += images * INFERRED_SECONDS


def metered(work: Coroutine[Any, Any, ResultT]) -> Awaitable[ResultT]:
    """The same work, for a task of its own: its steps are charged to the request as well."""
    request = _request.get()
    return work if request is None else Metered(work, request.meter)


def paced_name(key_name: str) -> str:
    """Of the client of an API key, whose name may be another one's address."""
    return f"key {key_name}"


async def run_paced(
    pacer: Pacer,
    client: str,
    work: Callable[[], Coroutine[Any, Any, ResultT]],
    *,
    most_seconds: float,
    other_seconds: float = 0.0,
) -> ResultT:
    """Makes and does the work of a client's request when that may start.

    most_seconds: the longest that it waits. other_seconds: charged beside what the work takes.
    """
    turn = await pacer.begin(client, most_seconds)
    return await PacedRequest(pacer, turn).run(work(), other_seconds)


class PacedRequest:
    """other_seconds: charged beside what is metered. credit_seconds: taken off at the end."""

    def __init__(self, pacer: Pacer, turn: Turn) -> None:
        self.meter = Meter()
        self.other_seconds = self.credit_seconds = 0.0
        self._pacer, self._turn = pacer, turn

    async def run(self, work: Coroutine[Any, Any, ResultT], other_seconds: float) -> ResultT:
        """Does the work, which may `pause`. other_seconds: charged in addition."""
        self.other_seconds = other_seconds
        token = _request.set(self)
        try:
            return await Metered(work, self.meter)
        finally:
            _request.reset(token)
            seconds = max(0.0, self._seconds - self.credit_seconds)
            self._pacer.end(self._turn, seconds, inferred=self.credit_seconds > 0)

    async def give_way(self, most_seconds: float) -> bool:
        # To read the thread's clock takes a call of the system.
        if self._pacer.has_no_other(self._turn):
            return False
        return await self._pacer.give_way(self._turn, self._seconds, most_seconds)

    @property
    def _seconds(self) -> float:
        return self.meter.seconds + self.other_seconds


class Meter:
    """Sums the CPU time that a thread spends in the steps of coroutines."""

    def __init__(self) -> None:
        self._summed = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """The step that is under way included."""
        if self._since is None:
            return self._summed
        return self._summed + time.thread_time() - self._since

    def start(self) -> bool:
        """Begins a step. False within another one, which is metered already."""
        if self._since is not None:
            return False
        self._since = time.thread_time()
        return True

    def stop(self) -> None:
        self._summed, self._since = self.seconds, None


class Metered(Awaitable[ResultT]):
    """Awaits a coroutine and meters its steps."""

    def __init__(self, coroutine: Coroutine[Any, Any, ResultT], meter: Meter) -> None:
        self._coroutine = coroutine
        self._meter = meter

    def __await__(self) -> Generator[Any, Any, ResultT]:
        return self  # type: ignore[return-value]

    def __iter__(self) -> Metered[ResultT]:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        started = self._meter.start()
        try:
            return self._coroutine.send(value)
        finally:
            if started:
                self._meter.stop()

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> Any:
        started = self._meter.start()
        try:
            if error is None and traceback is None:
                return self._coroutine.throw(kind)
            return self._coroutine.throw(kind, error, traceback)  # type: ignore[arg-type]
        finally:
            if started:
                self._meter.stop()

    def close(self) -> None:
        self._coroutine.close()
