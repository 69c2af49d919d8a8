"""resnet bench."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Column, Table

from model_builder.artifact.manifest import Artifact
from model_builder.build.cache import ArtifactCache
from model_builder.build.calibration import calibration_set
from model_builder.errors import BuilderError, CalibrationFailed
from model_builder.exporters.base import BuildTarget
from model_builder.system.printable import printable
from model_builder.system.progress import counted
from service.cli.cells import cell
from service.cli.options import (
    DeviceOption,
    HomeOption,
    JsonOption,
    ModelArgument,
    end,
    say,
    settings_with,
)
from service.evaluation.engine_table import EngineRow, Pixels, measure_artifact
from service.inference.artifacts import make_artifact_cache, make_hardware
from service.inference.speed.taken import Automatic, automatic, servable_targets
from service.observability.logging import configure_logging

# Crops of the photos that come with the code, to compare classes on.
IMAGES = 64
AUTOMATIC: tuple[Automatic, ...] = ("auto", "auto-int8")


def bench(
    name: ModelArgument,
    build: Annotated[
        bool, typer.Option("--build", help="Build the artifacts that are missing: minutes.")
    ] = False,
    as_json: JsonOption = False,
    device: DeviceOption = None,
    home: HomeOption = None,
) -> None:
    """Measure every engine and precision on this machine, and say which `auto` takes.

    Engines for one precision are compared again, by turns, and what came of it decides from then
    on. Run it while the machine does nothing else.
    """
    settings = settings_with(device=device, home=home)
    configure_logging("warning", settings.observability.log_format)
    store, hardware = make_artifact_cache(settings), make_hardware(settings)
    measured: dict[BuildTarget, EngineRow] = {}
    missing: list[str] = []
    try:
        targets = servable_targets(hardware)
        images = _images(store, name)
        with counted(f"Measuring {name}", len(targets)) as advance:
            for target in targets:
                try:
                    artifact = _artifact(store, name, target, build=build)
                    if artifact is None:
                        missing.append(f"{target.engine} {target.precision}: no artifact")
                    else:
                        measured[target] = measure_artifact(artifact, hardware, images)
                except BuilderError as error:
                    missing.append(f"{target.engine} {target.precision}: {error}")
                advance(1)
        taken = {wanted: automatic(name, wanted, settings, hardware, store) for wanted in AUTOMATIC}
    except BuilderError as error:
        end(f"{name} can't be measured. {error}")
    rows = _rows(measured, taken)
    if as_json:
        typer.echo(json.dumps({"engines": rows, "not_measured": missing}, indent=2))
        return
    Console().print(_table(name, rows))
    for one in missing:
        say(f"Not measured: {one}{'' if build else '. --build builds what is missing.'}")


def _artifact(
    store: ArtifactCache, name: str, target: BuildTarget, *, build: bool
) -> Artifact | None:
    return store.obtain(name, target) if build else store.present(name, target)


def _images(store: ArtifactCache, name: str) -> Pixels:
    """None in an image without those photos."""
    preprocessing = store.checkpoint(name).preprocessing
    try:
        return calibration_set(None, preprocessing).checked[:IMAGES]
    except (CalibrationFailed, OSError):
        size = preprocessing.crop_size
        return np.empty((0, size, size, 3), np.uint8)


def _rows(
    measured: dict[BuildTarget, EngineRow], taken: dict[Automatic, BuildTarget | None]
) -> list[dict[str, Any]]:
    """JSON objects, in the table's order."""
    exact = [row for row in measured.values() if row.precision == "float32"]
    reference = exact[0] if exact else None
    rows = []
    for target, row in measured.items():
        figures = asdict(row)
        del figures["classes"]
        figures["agreement_percent"] = row.agreement_percent(reference)
        figures["taken_by"] = [wanted for wanted, one in taken.items() if one == target]
        rows.append(figures)
    return rows


def _table(name: str, rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(
        # Never cut short: these are what the settings take.
        Column("engine", no_wrap=True),
        Column("precision", no_wrap=True),
        "batch 1",
        "best",
        "CPU ms",
        "memory",
        "agrees",
        "taken by",
        title=f"{printable(name)}: images a second, CPU time of an image, agreement with float32",
    )
    for row in rows:
        agreement = row["agreement_percent"]
        table.add_row(
            cell(row["engine"]),
            cell(row["precision"]),
            f"{row['batch_1_images_per_second']:.1f}",
            f"{row['best_images_per_second']:.1f} ({row['best_batch']})",
            f"{row['cpu_ms']:.1f}",
            f"{row['memory_mb']:.0f} MB",
            "" if agreement is None else f"{agreement:g} %",
            ", ".join(row["taken_by"]),
        )
    return table
