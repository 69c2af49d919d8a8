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

# For one image, however often it is tried.
WAIT_SECONDS = 3600.0


def score_here(scorer: Scorer, items: Iterator[Item], stop: Event) -> Iterator[Any]:
    """Tables of rows in the order of the items; at most `scorer.in_flight` are at work.

    After `stop` no more items are taken, and those at work are finished. Raises ScoringStopped.
    """
    window, batch = scorer.in_flight, scorer.batch_size
    at_work: deque[Future[ScoredRow]] = deque()
    ended = False
    while True:
        while not ended and len(at_work) < window:
            item = None if stop.is_set() else next(items, None)
            if item is None:
                ended = True
            else:
                at_work.append(_submit(scorer, item))
        if not at_work:
            return
        # Results come by batches; a table for each would cost more than waiting for a batch.
        count = min(batch, len(at_work))
        yield scorer.table([at_work.popleft().result(WAIT_SECONDS) for _ in range(count)])


def _submit(scorer: Scorer, item: Item) -> Future[ScoredRow]:
    if not item.in_turn:
        return scorer.submit(item)
    try:
        data = item.read()
    except Unreadable as error:
        bad: Future[ScoredRow] = Future()
        bad.set_result(ScoredRow(item.path, error=str(error), error_code=error.code))
        return bad
    return scorer.submit(Item(item.path, lambda: data))
