"""resnet evaluate."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, get_args

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from model_builder.artifact.manifest import Artifact, Precision
from model_builder.artifact.report import Measurement, add_measurement
from model_builder.errors import BuilderError
from model_builder.system.progress import counted
from service.cli.options import DeviceOption, HomeOption, JsonOption, end, settings_with
from service.engines.base import Engine, load_engines
from service.errors import InvalidParameter, ServiceError
from service.evaluation.accuracy import evaluate as evaluate_all
from service.evaluation.accuracy import labelled_images
from service.inference.loader import make_artifact_cache, make_hardware
from service.observability.logging import configure_logging


def evaluate(
    name: Annotated[
        str, typer.Argument(help="A depth, a checkpoint or an import.", metavar="MODEL")
    ],
    folder: Annotated[
        Path,
        typer.Argument(
            help="Images: a folder a class, named by WordNet id or label, or files whose names "
            "begin with the WordNet id.",
            exists=True,
            file_okay=False,
        ),
    ],
    precision: Annotated[
        list[str] | None, typer.Option(help="Which to measure; can be repeated.")
    ] = None,
    as_json: JsonOption = False,
    device: DeviceOption = None,
    home: HomeOption = None,
) -> None:
    """Measure accuracy, agreement with float32 and speed on labelled images.

    What was measured is kept beside each artifact, and GET /models shows it. By default float32
    and int8 are measured; float32, which the others are held against, always is.
    """
    settings = settings_with({"device": device, "home": home})
    configure_logging("warning", settings.observability.log_format)
    store, hardware = make_artifact_cache(settings), make_hardware(settings)
    try:
        wanted = _precisions(precision or ["int8"])
        models: dict[Precision, tuple[Artifact, Engine]] = {}
        for one in wanted:
            artifact = store.obtain(name, one)
            models[one] = artifact, load_engines(artifact, hardware)[0]
        images = labelled_images(folder, models["float32"][0].labels)
        with counted(f"Evaluating {name}", len(images)) as advance:
            tallies = evaluate_all(
                images,
                models,
                max_pixels=settings.limits.max_image_pixels,
                skipped=lambda path, error: typer.echo(f"{path} is left out: {error}", err=True),
                advance=advance,
            )
        measured = {one: tally.measurement(folder.name) for one, tally in tallies.items()}
        for one, measurement in measured.items():
            add_measurement(models[one][0].folder, measurement)
    except (BuilderError, ServiceError, OSError) as error:
        end(f"{name} can't be evaluated. {error}")
    if as_json:
        typer.echo(json.dumps({one: asdict(row) for one, row in measured.items()}, indent=2))
    else:
        Console().print(_table(measured))


def _precisions(given: list[str]) -> list[Precision]:
    """float32 first, each once. Raises InvalidParameter."""
    try:
        named = TypeAdapter(list[Precision]).validate_python(given)
    except ValidationError:
        raise InvalidParameter(
            f"--precision is one of {', '.join(get_args(Precision))}. Received: {', '.join(given)}"
        ) from None
    return list(dict.fromkeys(["float32", *named]))


def _table(measured: dict[Precision, Measurement]) -> Table:
    (count,) = {row.count for row in measured.values()}
    table = Table(
        "precision",
        "top-1",
        "top-5",
        "agrees with float32",
        "calibration error",
        "images a second",
        title=f"{count} images",
    )
    for precision, row in measured.items():
        table.add_row(
            precision,
            f"{row.top1_percent} %",
            f"{row.top5_percent} %",
            f"{row.agreement_percent} %",
            f"{row.expected_calibration_error}",
            f"{row.images_per_second}",
        )
    return table
