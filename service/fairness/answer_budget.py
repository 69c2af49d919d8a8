"""Answers that are being sent: their bytes count for as long as the client takes to read them.

Without it a client that reads nothing keeps megabytes of each answer in the server's buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.fairness.byte_budget import ByteBudget

# What is written at once, and what an answer may have without being counted: as much as a server
# buffers in any case.
PIECE_BYTES = 64 * 1024
# Of the byte budget: clients that do not read their answers leave the rest to bodies.
ANSWER_PARTS = 2


class AnswerBudget:
    """One for all protocols, for one event loop."""

    def __init__(self, budget: ByteBudget) -> None:
        """budget: of all requests, from which an answer is taken as well."""
        self._budget = budget
        self._part = ByteBudget(budget.limit_bytes // ANSWER_PARTS)

    @property
    def used_bytes(self) -> int:
        return self._part.used_bytes

    @contextmanager
    def sending(self, client: str, count: int) -> Iterator[None]:
        """While so many bytes are sent to the client. Raises MemoryFull before that."""
        if count <= PIECE_BYTES:
            yield
            return
        with self._budget.hold(client) as held, self._part.hold(client) as held_part:
            held_part.take(count)
            held.take(count)
            yield
