"""An answer whose bytes are counted for as long as the client takes to read it.

Without it a client that reads nothing keeps megabytes of each answer in the server's buffers.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response
from starlette.types import Receive, Scope, Send

from service.fairness.byte_budget import ByteBudget
from service.http.auth.client import client_of

# What is written at once, and what an answer may have without being counted: as much as the server
# buffers in any case.
PIECE_BYTES = 64 * 1024
# Of the byte budget: clients that do not read their answers leave the rest to bodies.
RESPONSE_PARTS = 2


class ResponseBudget:
    """Limits the bytes of answers that are being sent. For one event loop."""

    def __init__(self, budget: ByteBudget) -> None:
        """budget: of all requests, from which an answer is taken as well."""
        self._budget = budget
        self._part = ByteBudget(budget.limit_bytes // RESPONSE_PARTS)

    @property
    def used_bytes(self) -> int:
        return self._part.used_bytes

    async def send(self, response: Response, client: str, send: Send) -> None:
        """Sends it as fast as the client takes it. Raises MemoryFull before anything is sent."""
        body = memoryview(response.body)
        with self._budget.hold(client) as held, self._part.hold(client) as held_part:
            held_part.take(len(body))
            held.take(len(body))
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status_code,
                    "headers": response.raw_headers,
                }
            )
            for start in range(0, len(body), PIECE_BYTES):
                end = start + PIECE_BYTES
                message = {
                    "type": "http.response.body",
                    "body": bytes(body[start:end]),
                    "more_body": end < len(body),
                }
                # Returns at once until the buffer is full.
                await send(message)


class HeldResponse(Response):
    """A response of any length to a request for inference. Raises MemoryFull as it is sent."""

    def __init__(
        self, content: bytes | str, *, media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) <= PIECE_BYTES:
            await super().__call__(scope, receive, send)
            return
        responses: ResponseBudget = scope["app"].state.responses
        await responses.send(self, client_of(scope), send)
