"""How much work requests give the event loop, counted and not timed."""

from __future__ import annotations

import asyncio
import sys
from asyncio import events
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from unittest import mock

from starlette.types import ASGIApp, Message

Header = tuple[bytes, bytes]


@dataclass
class Work:
    """total: lines of Python that were run.

    longest: most of them within one callback of the loop: so long every other request has to wait.
    """

    total: int = 0
    longest: int = 0
    sent: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def run_counted(coroutine: Coroutine[Any, Any, object], work: Work) -> None:
    """Runs it in a loop of its own. What C code does is not counted."""
    lines = 0

    def trace(_frame: FrameType, event: str, _arg: object) -> Callable[..., Any]:
        nonlocal lines
        lines += event == "line"
        return trace

    run = events.Handle._run

    def run_and_note(handle: events.Handle) -> None:
        before = lines
        run(handle)
        work.longest = max(work.longest, lines - before)

    before = sys.gettrace()
    with mock.patch.object(events.Handle, "_run", run_and_note):
        sys.settrace(trace)
        try:
            asyncio.run(coroutine)
        finally:
            sys.settrace(before)
    work.total = lines


def request_work(
    app: ASGIApp,
    *,
    method: str = "GET",
    path: str = "/health/live",
    query: bytes = b"",
    headers: Iterable[Header] = (),
    body: Iterable[bytes] = (b"",),
) -> Work:
    """What one request costs, beginning where the server calls the application.

    body: the pieces in which it arrives.
    """
    work = Work()
    pieces = [*body]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"test"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> Message:
        # As a server's: each piece is a callback of its own.
        await asyncio.sleep(0)
        if not pieces:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Message) -> None:
        work.sent.append(message)

    run_counted(app(scope, receive, send), work)  # type: ignore[arg-type]
    return work
