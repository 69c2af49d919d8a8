"""An answer of any length, written as fast as the client reads it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response
from starlette.types import Receive, Scope, Send

from service.fairness.answer_budget import PIECE_BYTES, AnswerBudget
from service.http.auth.client import client_of


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
        answers: AnswerBudget = scope["app"].state.answers
        body = memoryview(self.body)
        with answers.sending(client_of(scope), len(body)):
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
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
