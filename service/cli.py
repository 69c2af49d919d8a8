"""The `resnet` command: serve, models, predict."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Optional

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from model_builder.errors import BuilderError
from service import __version__
from service.catalogue import describe_depths
from service.errors import ServiceError
from service.loading import load_model, make_decoder
from service.log import configure_logging
from service.metrics import Metrics
from service.model import Answer, Model
from service.server import serve as serve_until_told
from service.settings import PREFIX, Settings

main = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

ModelOption = Annotated[
    str | None,
    typer.Option(help="A depth (resnet50), a checkpoint, or an artifact folder.", metavar="NAME"),
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"] | None,
    typer.Option(help="What the network computes in."),
]
DeviceOption = Annotated[Literal["auto", "cpu", "gpu"] | None, typer.Option(help="Where it runs.")]
HomeOption = Annotated[Path | None, typer.Option(help="The cache.")]
FileOption = Annotated[
    Path | None, typer.Option(help="The checkpoint's published file, already on this machine.")
]


@main.callback()
def resnet(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """ResNet-18 to 152: pictures in, classes out.

    Every option has an environment variable too: RESNET_MODEL for --model, and so on.
    """
    if version:
        typer.echo(__version__)
        raise typer.Exit


def serve(**given: Any) -> None:
    """Serve over HTTP until told to end."""
    given = {name: value for name, value in given.items() if value is not None}
    raise typer.Exit(serve_until_told(_settings(given)))


def _with_an_option_a_setting(command: Callable[..., None]) -> Callable[..., None]:
    """Typer reads a command's options from its signature; here they are the settings' fields."""
    options = {
        name: Annotated[Optional[field.annotation], typer.Option(help=field.description)]  # noqa: UP045
        for name, field in Settings.model_fields.items()
    }
    kind = inspect.Parameter.KEYWORD_ONLY
    command.__annotations__ = {**options, "return": None}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, kind, default=None, annotation=option)
            for name, option in options.items()
        ]
    )
    return command


main.command()(_with_an_option_a_setting(serve))


@main.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """List the depths and the checkpoints that can be served."""
    bodies = describe_depths(())
    if as_json:
        typer.echo(json.dumps([body.model_dump() for body in bodies], indent=2))
        return
    table = Table("depth", "checkpoint", "parameters", "multiply-adds", "top-1", "top-5", "licence")
    for body in bodies:
        size = f"{body.parameters / 1e6:.1f} M", f"{body.multiply_adds / 1e9:.2f} G"
        if not body.checkpoints:
            table.add_row(body.name, "no published weights", *size, "", "", "")
        for row in body.checkpoints:
            name = row.name + (" (default)" if row.default else "")
            accuracy = f"{row.top1_percent} %", f"{row.top5_percent} %"
            table.add_row(body.name, name, *size, *accuracy, row.licence)
    Console().print(table)


@main.command()
def predict(
    photos: Annotated[list[Path], typer.Argument(help="Pictures.", metavar="PHOTO...")],
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    model: ModelOption = None,
    precision: PrecisionOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
    checkpoint_file: FileOption = None,
) -> None:
    """Classify pictures here, without a server. Ends with 1 where a picture could not be."""
    given = {
        "model": model,
        "precision": precision,
        "device": device,
        "home": home,
        "checkpoint_file": checkpoint_file,
    }
    settings = _settings({name: value for name, value in given.items() if value is not None})
    configure_logging("warning", settings.log_format)
    metrics = Metrics()
    decoder = make_decoder(settings, metrics)
    try:
        loaded = load_model(settings.model, settings, decoder, metrics)
    except BuilderError as error:
        _end(f"{settings.model} can't be loaded. {error}")
    try:
        outcomes = asyncio.run(_predict_all(loaded, photos, top_k))
    except ServiceError as error:
        _end(str(error))
    finally:
        loaded.close(settings.shutdown_timeout_seconds)
        decoder.close()
    _print_json(photos, outcomes) if as_json else _print_table(photos, outcomes)
    if any(isinstance(outcome, str) for outcome in outcomes):
        raise typer.Exit(1)


async def _predict_all(model: Model, photos: list[Path], k: int) -> list[Answer | str]:
    """Each picture's answer, or in words why there is none."""
    model.check_top_k(k)
    # As many under way as keep the device busy while others are read and decoded.
    places = asyncio.Semaphore(4 * model.engines[0].batch_sizes[-1])

    async def one(photo: Path) -> Answer | str:
        async with places:
            try:
                data = await asyncio.to_thread(photo.read_bytes)
                return await model.predict(data, k=k, deadline=time.monotonic() + 3600)
            except (OSError, ServiceError) as error:
                return str(error)

    return list(await asyncio.gather(*map(one, photos)))


def _print_table(photos: list[Path], outcomes: list[Answer | str]) -> None:
    table = Table("picture", "class", "probability")
    for photo, outcome in zip(photos, outcomes, strict=True):
        if isinstance(outcome, str):
            table.add_row(Text(str(photo)), Text(outcome, "red"), "", end_section=True)
            continue
        for index, one in enumerate(outcome.predictions):
            table.add_row(
                Text(str(photo) if index == 0 else ""),
                one.label,
                f"{one.probability:7.2%}",
                end_section=index == len(outcome.predictions) - 1,
            )
    Console().print(table)


def _print_json(photos: list[Path], outcomes: list[Answer | str]) -> None:
    rows: list[dict[str, Any]] = [
        {"picture": str(photo), "error": outcome}
        if isinstance(outcome, str)
        else {"picture": str(photo), "predictions": [asdict(one) for one in outcome.predictions]}
        for photo, outcome in zip(photos, outcomes, strict=True)
    ]
    typer.echo(json.dumps(rows, indent=2))


def _settings(given: dict[str, Any]) -> Settings:
    """The environment's settings, the given ones before them; ends in words on nonsense."""
    try:
        return Settings(**given)
    except ValidationError as error:
        _end(
            "\n".join(
                f"{PREFIX}{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}. "
                f"Received: {one['input']!r}"
                for one in error.errors()
            )
        )


def _end(message: str) -> NoReturn:
    typer.echo(message, err=True)
    logging.shutdown()
    sys.exit(2)
