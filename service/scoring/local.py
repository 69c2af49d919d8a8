"""The driver for one machine: this process has the model, images are read and decoded beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Event
from typing import Any

from service.scoring.errors import Unreadable
from service.scoring.scorer import Scorer
from service.scoring.sources.item import Item
from service.scoring.table import ScoredRow
from service.scoring.worker import MAX_HELD_BYTES, WAIT_SECONDS

# A table for each image would cost more than waiting for some.
MIN_TABLE_ROWS = 8


def score_here(scorer: Scorer, items: Iterator[Item], stop: Event) -> Iterator[Any]:
    """Tables of rows in the order of the items; at most `scorer.in_flight` are at work.

    After `stop` no more items are taken, and those at work are finished. Raises ScoringStopped.
    """
    window, most = scorer.in_flight, max(MIN_TABLE_ROWS, scorer.batch_size)
    at_work: deque[tuple[Future[ScoredRow], int]] = deque()
    held_bytes = 0
    ended = False
    while True:
        while not ended and len(at_work) < window and held_bytes < MAX_HELD_BYTES:
            item = None if stop.is_set() else next(items, None)
            if item is None:
                ended = True
            else:
                at_work.append(_submit(scorer, item))
                held_bytes += at_work[-1][1]
        if not at_work:
            return
        rows = []
        for _ in range(min(most, len(at_work))):
            future, size = at_work.popleft()
            rows.append(future.result(WAIT_SECONDS))
            held_bytes -= size
        yield scorer.table(rows)


def _submit(scorer: Scorer, item: Item) -> tuple[Future[ScoredRow], int]:
    """And the bytes that were read here: those that had to be read in turn."""
    if not item.in_turn:
        return scorer.submit(item), 0
    try:
        data = item.read()
    except Unreadable as error:
        bad: Future[ScoredRow] = Future()
        bad.set_result(ScoredRow(item.path, error=str(error), error_code=error.code))
        return bad, 0
    return scorer.submit(Item(item.path, lambda: data)), len(data)
