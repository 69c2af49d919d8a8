"""resnet predict."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from model_builder.errors import BuilderError
from service.cli.options import (
    DeviceOption,
    FileOption,
    HomeOption,
    JsonOption,
    ModelOption,
    PrecisionOption,
    end,
    settings_with,
)
from service.errors import ServiceError
from service.inference.loader import load_model, make_decoder_pool
from service.inference.model import Model, Prediction
from service.observability.logging import configure_logging
from service.observability.metrics import Metrics


def predict(
    photos: Annotated[list[Path], typer.Argument(help="Images.", metavar="PHOTO...")],
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 5,
    as_json: JsonOption = False,
    model: ModelOption = None,
    precision: PrecisionOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
    checkpoint_file: FileOption = None,
) -> None:
    """Classify images here, without a server. Ends with 1 where an image could not be."""
    given = {
        "model": model,
        "precision": precision,
        "device": device,
        "home": home,
        "checkpoint_file": checkpoint_file,
    }
    settings = settings_with(given)
    configure_logging("warning", settings.observability.log_format)
    metrics = Metrics()
    decoder = make_decoder_pool(settings, metrics)
    try:
        loaded = load_model(settings.model.default, settings, decoder, metrics)
        try:
            outcomes = asyncio.run(_predict_all(loaded, photos, top_k))
        finally:
            loaded.close(settings.http.shutdown_timeout_seconds)
    except BuilderError as error:
        decoder.close()
        end(f"{settings.model.default} can't be loaded. {error}")
    except ServiceError as error:
        end(str(error))
    finally:
        decoder.close()
    _print_json(photos, outcomes) if as_json else _print_table(photos, outcomes)
    if any(isinstance(outcome, str) for outcome in outcomes):
        raise typer.Exit(1)


async def _predict_all(model: Model, photos: list[Path], k: int) -> list[Prediction | str]:
    """Each image's answer, or in words why there is none."""
    model.check_top_k(k)
    # As many under way as keep the device busy while others are read and decoded.
    places = asyncio.Semaphore(4 * model.plan.largest)

    async def one(photo: Path) -> Prediction | str:
        async with places:
            try:
                data = await asyncio.to_thread(photo.read_bytes)
                return await model.predict(data, k=k, deadline=time.monotonic() + 3600)
            except (OSError, ServiceError) as error:
                return str(error)

    return list(await asyncio.gather(*map(one, photos)))


def _print_table(photos: list[Path], outcomes: list[Prediction | str]) -> None:
    table = Table("image", "class", "probability")
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


def _print_json(photos: list[Path], outcomes: list[Prediction | str]) -> None:
    rows: list[dict[str, Any]] = [
        {"image": str(photo), "error": outcome}
        if isinstance(outcome, str)
        else {"image": str(photo), "predictions": [asdict(one) for one in outcome.predictions]}
        for photo, outcome in zip(photos, outcomes, strict=True)
    ]
    typer.echo(json.dumps(rows, indent=2))
