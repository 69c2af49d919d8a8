"""resnet evaluate."""

from __future__ import annotations

import asyncio
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
from service.cli.options import (
    DeviceOption,
    EngineOption,
    HomeOption,
    JsonOption,
    ModelArgument,
    end,
    say,
    settings_with,
)
from service.engines.base import Hardware
from service.engines.registry import engine_for
from service.errors import InvalidParameter, ServiceError
from service.evaluation.accuracy import digest_of, labeled_images
from service.evaluation.accuracy import evaluate as evaluate_all
from service.inference.artifacts import make_artifact_cache, make_hardware
from service.inference.loader import make_decoder_pool, warm_model
from service.inference.model import Model, OneModel
from service.inference.service import InferenceService
from service.observability.logging import configure_logging
from service.observability.metrics import Metrics
from service.settings import Settings


def evaluate(
    name: ModelArgument,
    folder: Annotated[
        Path,
        typer.Argument(
            help="Images: a folder a class, named by WordNet id or label, or files whose names "
            "begin with the WordNet id.",
        ),
    ],
    precision: Annotated[
        list[str] | None, typer.Option(help="Which to measure; can be repeated.")
    ] = None,
    as_json: JsonOption = False,
    engine: EngineOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
) -> None:
    """Measure accuracy, agreement with float32 and speed on labeled images.

    What was measured is kept beside each artifact, and GET /models shows it. By default float32
    and int8 are measured; float32, which the others are held against, always is.
    """
    settings = settings_with(engine=engine, device=device, home=home)
    if not folder.is_dir():
        end(f"{name} can't be evaluated. There is no folder {folder}.")
    configure_logging("warning", settings.observability.log_format)
    hardware = make_hardware(settings)
    metrics = Metrics()
    decoder = make_decoder_pool(settings, metrics)
    models: dict[Precision, Model] = {}
    try:
        artifacts = _artifacts(name, precision or ["int8"], settings, hardware)
        reference = artifacts["float32"]
        labeled = labeled_images(folder, reference.labels)
        for one in labeled.skipped:
            say(f"{one} is skipped: no class has that name", err=True)
        for one in labeled.not_files:
            say(f"{one} is skipped: it is no file", err=True)
        for one, artifact in artifacts.items():
            models[one] = warm_model(artifact, settings, hardware, metrics)
            models[one].start()
        services = {
            one: InferenceService(OneModel(model), decoder) for one, model in models.items()
        }
        with counted(f"Evaluating {name}", len(labeled.images)) as advance:
            tallies = asyncio.run(
                evaluate_all(
                    labeled.images,
                    services,
                    decoder,
                    reference.manifest.preprocessing,
                    skipped=lambda path, error: say(f"{path} is skipped: {error}", err=True),
                    advance=advance,
                )
            )
        digest = digest_of(labeled.images)
        measured = {one: tally.measurement(folder.name, digest) for one, tally in tallies.items()}
        for one, measurement in measured.items():
            add_measurement(artifacts[one].folder, measurement)
    except (BuilderError, ServiceError, OSError) as error:
        end(f"{name} can't be evaluated. {error}")
    finally:
        for model in models.values():
            model.close(settings.http.shutdown_timeout_seconds)
        decoder.close()
    if as_json:
        typer.echo(json.dumps({one: asdict(row) for one, row in measured.items()}, indent=2))
    else:
        Console().print(_table(measured))


def _artifacts(
    name: str, given: list[str], settings: Settings, hardware: Hardware
) -> dict[Precision, Artifact]:
    """By precision, float32 first: the network that the others are compared with.

    For the path of an artifact folder, that artifact and the float32 one of its checkpoint.
    """
    cache = make_artifact_cache(settings)
    artifact = cache.given_artifact(name)
    found: dict[Precision, Artifact] = {}
    if artifact is not None:
        found[artifact.manifest.precision] = artifact
        name = artifact.manifest.provenance.checkpoint
        given = [artifact.manifest.precision]
    for one in _precisions(given):
        if one not in found:
            spec = engine_for(one, hardware, engine=settings.model.engine)
            found[one] = cache.obtain(name, spec.target(one))
    reference = found["float32"].manifest
    for row in found.values():
        same = (row.manifest.provenance.digest, row.manifest.preprocessing)
        if same != (reference.provenance.digest, reference.preprocessing):
            raise InvalidParameter(
                f"{row.folder} and the float32 artifact of {name} are made of different weights: "
                "their agreement says nothing."
            )
    return {"float32": found.pop("float32"), **found}


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
            "" if row.top5_percent is None else f"{row.top5_percent} %",
            f"{row.agreement_percent} %",
            f"{row.expected_calibration_error}",
            f"{row.images_per_second}",
        )
    return table
