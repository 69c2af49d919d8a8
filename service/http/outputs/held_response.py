"""An answer of any length, written as fast as the client reads it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response
from starlette.types import Receive, Scope, Send

from service.fairness.answer_budget import PIECE_BYTES, AnswerBudget
from service.http.auth.client import client_of
from service.http.outputs.pieces import send_in_pieces


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
        with answers.sending(client_of(scope), len(self.body)):
            await send_in_pieces(self, send)
