"""A job: the rows of earlier runs are checked against the input, the rest is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

from service.scoring.errors import InputChanged, OutputMismatch
from service.scoring.sinks.sink import KeptRow, Sink, kept_rows
from service.scoring.sources.item import Item
from service.scoring.summary import Summary

# Scores items in their order, and ends early where a job is to stop.
Driver = Callable[[Iterator[Item]], Iterator[Any]]


def run(
    items: Iterator[Item],
    sink: Sink,
    driver: Driver,
    stop: Event,
    observe: Callable[[Summary], None] = lambda _: None,
) -> Summary:
    """Scores what the sink does not have yet. observe: told the figures as they grow.

    stop: set by whoever wants the job to end early; what was scored until then is written.
    Raises ScoringError; what the sink has written by then stays.
    """
    items, summary = iter(items), Summary()
    for row in _kept(sink):
        item = next(items, None)
        if item is None or item.path != row.path:
            found = "it has no more images" if item is None else f"it has {item.path!r} there"
            raise InputChanged(
                f"Image {summary.images + 1} of the input was {row.path!r}, and now {found}. "
                "Write what is in it now to another output."
            )
        summary.add(row, now=False)
        if stop.is_set():
            return summary
    observe(summary)
    for table in driver(items):
        sink.add(table)
        for row in kept_rows(table):
            summary.add(row, now=True)
        observe(summary)
    sink.finish(complete=not stop.is_set())
    return summary


def _kept(sink: Sink) -> Iterator[KeptRow]:
    try:
        yield from sink.kept()
    # What JSON, CSV and Arrow say of a file that is not as it was written.
    except (KeyError, ValueError) as error:
        raise OutputMismatch(f"What was written earlier can't be read: {error}") from error
