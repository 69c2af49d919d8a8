"""resnet score."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Event
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from model_builder.errors import BuilderError
from service.cli.cells import cell
from service.cli.options import (
    DeviceOption,
    EngineOption,
    FileOption,
    HomeOption,
    JsonOption,
    ModelOption,
    PrecisionOption,
    end,
    say,
    settings_with,
)
from service.errors import ServiceError
from service.observability.logging import configure_logging

if TYPE_CHECKING:
    from service.scoring.summary import Summary

Where = Literal["local", "ray"]
InputFormat = Literal["auto", "folder", "image", "list", "csv", "parquet", "tar", "zip"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The status of a job that can go on later. A signal's is 128 and its number.
STOPPED = 3


def score(
    input: Annotated[
        str,
        typer.Argument(
            help="A folder; a list (.txt, .csv) or Parquet of paths; Parquet with images; tar or "
            "zip. Local, s3://, gs://, hdfs:// or https://; * or {000..999} for several. - is a "
            "list on standard input.",
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            help="A folder for Parquet parts, or a file *.parquet, *.jsonl or *.csv. - is JSON "
            "lines on standard output.",
        ),
    ],
    outputs: Annotated[
        str, typer.Option(help="Of predictions, embedding, logits, probabilities.")
    ] = "predictions",
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Classes in the predictions: by default 5.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Score the first so many.")] = None,
    sample: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Score this part of the images, the same ones each time."),
    ] = None,
    shard: Annotated[
        str, typer.Option(help="i/n: score one of n parts, as on n machines.", metavar="I/N")
    ] = "1/1",
    on: Annotated[Where, typer.Option(help="This machine, or a Ray cluster.")] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="On Ray: how many have the model, by default 1.")
    ] = None,
    input_format: Annotated[
        InputFormat, typer.Option(help="What the input is, where its name does not say it.")
    ] = "auto",
    column: Annotated[
        str | None, typer.Option(help="Of a CSV or Parquet file: by default path, image or bytes.")
    ] = None,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="A list's paths end with NUL: find -print0.")
    ] = False,
    as_json: JsonOption = False,
    model: ModelOption = None,
    precision: PrecisionOption = None,
    engine: EngineOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
    checkpoint_file: FileOption = None,
) -> None:
    """Score any number of images into a file or a folder.

    Ended at any moment and started again, it goes on where it was: every image has one row. An
    image that can't be used has a row with its error.

    Ends with 0 when all are scored, 1 where none of them could be, 2 where it can't begin, 3 where
    it can't go on, and after Ctrl-C with 130.
    """
    for package in ("pyarrow", "fsspec"):
        if find_spec(package) is None:
            end(f"resnet score needs {package}: pip install 'resnet-server[score]'")
    from service.scoring.errors import ScoringError, ScoringStopped
    from service.scoring.plan import Plan, carry_out

    settings = settings_with(
        model=model,
        precision=precision,
        engine=engine,
        device=device,
        home=home,
        checkpoint_file=checkpoint_file,
    )
    if workers is not None and on == "local":
        end("--workers is for --on ray: this machine has the model once, with all its cores.")
    terminal = Console(stderr=True).is_terminal
    # Elsewhere the log shows the progress.
    configure_logging("warning" if terminal else "info", settings.observability.log_format)
    plan = Plan(
        input,
        output,
        tuple(name.strip() for name in outputs.split(",") if name.strip()),
        top_k=top_k,
        limit=limit,
        sample=sample,
        shard=shard,
        on=on,
        workers=workers or 1,
        input_format=input_format,
        column=column,
        separator=b"\0" if null else b"\n",
    )
    try:
        with stoppable() as stop:
            summary = carry_out(plan, settings, stop)
    except BrokenPipeError:
        # Its reader has enough. What Python would still write at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(STOPPED)
    except ScoringStopped as error:
        say(error, err=True)
        sys.exit(STOPPED)
    except (ScoringError, BuilderError, ServiceError, OSError) as error:
        end(f"{input} can't be scored. {error}")
    _print(summary, as_json=as_json, err=output == "-")
    if stop.received is not None:
        say(f"Stopped by {stop.received.name}; the same command continues.", err=True)
        sys.exit(128 + stop.received)
    if summary.images and summary.failed == summary.images:
        sys.exit(1)


class Stop(Event):
    """Set by a signal. received: which one."""

    received: signal.Signals | None = None


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Meanwhile the first Ctrl-C or SIGTERM sets the event, and a second one ends the process."""
    stop = Stop()

    def take(number: int, _: object) -> None:
        stop.received = signal.Signals(number)
        stop.set()
        for one, handler in before.items():
            signal.signal(one, handler)

    before = {one: signal.signal(one, take) for one in SIGNALS}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _print(summary: Summary, *, as_json: bool, err: bool) -> None:
    """What was scored, on standard error where the rows are on standard output."""
    figures = summary.as_json()
    if as_json:
        typer.echo(json.dumps(figures, indent=2), err=err)
        return
    table = Table("", "", show_header=False, title="Scored")
    table.add_row("images", f"{summary.images} ({summary.scored_now} now)")
    for code, count in summary.errors.most_common():
        table.add_row(cell(code, "red"), str(count))
    confidence = figures["confidence"]
    if confidence["median"] is not None:
        table.add_row(
            "probability of the best class",
            "10 %: {p10:.2f}, median: {median:.2f}, 90 %: {p90:.2f}".format(**confidence),
        )
    for label, count in figures["classes"].items():
        table.add_row(cell(label), f"{count} ({count / summary.images:.1%})")
    Console(stderr=err).print(table)
