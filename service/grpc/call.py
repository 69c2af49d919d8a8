"""One call: who makes it, by when, and its messages."""

from __future__ import annotations

import asyncio
import math
import time
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import unquote

from grpc.aio import EOF

from service.auth.access import stated_key
from service.auth.address import client_address
from service.auth.trusted_proxies import TrustedProxies
from service.errors import MalformedRequest, ShuttingDown, Unavailable, UploadTimeout
from service.fairness.answer_budget import AnswerBudget
from service.fairness.byte_budget import ByteBudget, HeldBytes
from service.fairness.paced import charge_bytes
from service.grpc.arrivals import Arrivals
from service.grpc.wire import parse
from service.observability.request_id import acceptable_id

MessageT = TypeVar("MessageT")

REQUEST_ID = "x-request-id"
AUTHORIZATION, API_KEY, FORWARDED_FOR = "authorization", "x-api-key", "x-forwarded-for"

# What a deadline may differ by at the client's: gRPC Core's timeout_encoding.cc.
DEADLINE_ROUNDING = 0.01
TRANSIT_SECONDS = 0.05


class NotTaken(Exception):
    """The client has not taken an answer for as long as it may."""


class Message:
    """A message's bytes, counted in the byte budget. A context manager: it releases them."""

    def __init__(self, data: bytes, held: HeldBytes) -> None:
        """Raises MemoryFull."""
        held.take(len(data))
        self._held = held
        self._data = memoryview(data)

    def __enter__(self) -> Message:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def data(self) -> memoryview:
        """Empty once it is released."""
        return self._data

    def release(self) -> None:
        """Gives back the bytes, with the last view of them; nothing the second time."""
        self._data = memoryview(b"")
        self._held.release()


class Call:
    """context: grpc.aio's. stopping: set when no stream is to wait for another message.

    client: set once the call is admitted, until then its address.
    """

    def __init__(
        self,
        context: Any,
        arrivals: Arrivals,
        budget: ByteBudget,
        answers: AnswerBudget,
        proxies: TrustedProxies,
        stopping: asyncio.Event,
        *,
        arrival_seconds: float,
        write_seconds: float,
    ) -> None:
        self._context = context
        self._arrivals = arrivals
        self._budget = budget
        self._answers = answers
        self._stopping = stopping
        self._arrival_seconds = arrival_seconds
        self._write_seconds = write_seconds
        # The first of those with one name, as HTTP has it.
        self.metadata = {
            key: value
            for key, value in reversed(context.invocation_metadata() or ())
            if isinstance(value, str)
        }
        self.started = time.monotonic()
        forwarded, peer = self.metadata.get(FORWARDED_FOR, ""), peer_address(context.peer())
        self._from_proxy = peer in proxies
        self.address = client_address(proxies.client_of(peer, forwarded))
        self.client = self.address
        self.request_id = acceptable_id(self.metadata.get(REQUEST_ID, ""))
        self.key = stated_key(self.metadata.get(AUTHORIZATION, ""), self.metadata.get(API_KEY, ""))
        self.request_bytes = self.response_bytes = 0
        self.trailers: list[tuple[str, str]] = [(REQUEST_ID, self.request_id)]

    @property
    def timeout_ms(self) -> float | None:
        """Of the client, from now on; None where it sets none."""
        seconds = self._context.time_remaining()
        if seconds is None or not math.isfinite(seconds):
            return None
        return max(0.0, float(seconds)) * 1000

    @property
    def late(self) -> bool:
        """Whether the client's deadline has passed, by the client's clock.

        gRPC counts from the call's arrival and rounds a deadline up for its way, by a hundredth at
        most, so the client may end a call a little before it is late here.
        """
        seconds = self._context.time_remaining()
        elapsed = time.monotonic() - self.started
        return seconds is not None and seconds <= TRANSIT_SECONDS + elapsed * DEADLINE_ROUNDING

    async def receive(self) -> Message:
        """The only message. Raises MalformedRequest, Unavailable or UploadTimeout."""
        try:
            data = await asyncio.wait_for(self._arrival(), self._arrival_seconds)
        except asyncio.TimeoutError:
            raise UploadTimeout(
                f"The message did not arrive within {self._arrival_seconds:g} s."
            ) from None
        if data is EOF:
            if self._from_proxy:
                # nginx repeats a call whose message it has in a file without the message.
                raise Unavailable("The proxy has sent the call without its message.")
            # The same where gRPC has refused it for its length: the client is told so by gRPC.
            raise MalformedRequest("The call has no message.")
        return self._counted(data)

    async def receive_as(self, kind: type[MessageT]) -> MessageT:
        """The only message, of this class and without images."""
        with await self.receive() as message:
            return parse(kind, message.data, {})[0]

    async def receive_next(self, timeout_seconds: float) -> Message | None:
        """A stream's next message; None at its end, or where none comes for so long.

        Raises MemoryFull or ShuttingDown.
        """
        reading = asyncio.ensure_future(self._context.read())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait(
                (reading, stopping), timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not reading.done():
                if self._stopping.is_set():
                    raise ShuttingDown("The service is shutting down.")
                return None
            data = reading.result()
        finally:
            reading.cancel()
            stopping.cancel()
        return None if data is EOF else self._counted(data)

    async def send(self, data: bytes) -> None:
        """One message, as fast as the client takes them. Raises NotTaken or MemoryFull."""
        with self._answers.sending(self.client, len(data)):
            try:
                await asyncio.wait_for(self._context.write(data), self._write_seconds)
            except asyncio.TimeoutError:
                raise NotTaken from None
        self.response_bytes += len(data)

    async def _arrival(self) -> Any:
        async with self._arrivals.place(self.client):
            return await self._context.read()

    def _counted(self, data: bytes) -> Message:
        self.request_bytes += len(data)
        charge_bytes(len(data))
        return Message(data, self._budget.hold(self.client))


def peer_address(peer: str) -> str:
    """Of gRPC's "ipv4:10.0.0.1:4711" or "ipv6:%5B::1%5D:4711"; "" for what has none."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    return unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0]
