"""A job as it is asked for, put together and run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, redirect_stdout
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any, Literal

from service.engines.registry import ENGINES, EngineSpec
from service.scoring.errors import InvalidInput
from service.scoring.identity import job_record
from service.scoring.job import Driver, run
from service.scoring.local import score_here
from service.scoring.progress import Total, progress
from service.scoring.scorer import Scorer
from service.scoring.sinks.open import check_output, local_paths, open_sink
from service.scoring.sources.item import Item
from service.scoring.sources.open import Kind, Reading, open_source
from service.scoring.sources.selection import Selection, shard_of
from service.scoring.summary import Summary
from service.scoring.table import PREDICTIONS
from service.scoring.worker import ModelDescription
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What to score, where to, and where it is computed; see `resnet score --help`.

    shard: "i/n". on: "local", this process, or "ray", with `workers` that have the model.
    """

    input: str
    output: str
    outputs: tuple[str, ...] = (PREDICTIONS,)
    top_k: int | None = None
    limit: int | None = None
    sample: float | None = None
    shard: str = "1/1"
    on: Literal["local", "ray"] = "local"
    workers: int = 1
    input_format: Kind = "auto"
    column: str | None = None
    separator: bytes = b"\n"


def carry_out(
    plan: Plan, settings: Settings, stop: Event, engines: tuple[EngineSpec, ...] = ENGINES
) -> Summary:
    """Scores what the output lacks; after `stop` it ends early. Raises ScoringError.

    With Ray, what is printed meanwhile goes to standard error: Ray's messages are no rows.
    """
    rows = sys.stdout
    shard = shard_of(plan.shard)
    selection = Selection(*shard, plan.sample, plan.limit)
    reading = Reading(
        settings.limits.max_body_bytes,
        plan.input_format,
        plan.column,
        plan.separator,
        local_paths(plan.output),
    )
    source = open_source(plan.input, reading)
    check_output(plan.output)
    scorer = Scorer(settings, plan.outputs, plan.top_k, engines)
    with ExitStack() as stack:
        stack.callback(scorer.close)
        if plan.on == "ray":
            stack.enter_context(redirect_stdout(sys.stderr))
        described, driver = _driver(plan, scorer, stop, stack)
        record = job_record(described.record, source=plan.input, sample=plan.sample, shard=shard)
        sink = open_sink(plan.output, described.schema, record, rows)
        stack.callback(sink.close)
        total = Total(partial(selection.count, source))
        with progress(f"Scoring {plan.input}", total) as observe:
            return run(selection.apply(source.items()), sink, driver, stop, observe)


def _driver(
    plan: Plan, scorer: Scorer, stop: Event, stack: ExitStack
) -> tuple[ModelDescription, Driver]:
    """The model that is used, and what scores with it, until the stack is closed."""
    if plan.on == "local":

        def here(items: Iterator[Item]) -> Iterator[Any]:
            return score_here(scorer, items, stop)

        return scorer.describe(), here
    try:
        # Of the extra `ray`, and slow to import.
        from service.scoring.ray_data import RayDriver
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"--on ray needs Ray: pip install 'resnet-server[ray]'. Received: {error}"
        ) from error
    cluster = stack.enter_context(closing(RayDriver(scorer, plan.workers, stop)))
    return cluster.describe(), cluster.score
