"""resnet quantize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model_builder.errors import BuilderError
from service.cli.options import (
    EngineOption,
    FileOption,
    HomeOption,
    ModelArgument,
    end,
    say,
    settings_with,
)
from service.engines.registry import engine_for
from service.inference.artifacts import make_artifact_cache, make_hardware
from service.observability.logging import configure_logging


def quantize(
    name: ModelArgument,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Images like those that will be served; by default photos that come along.",
            metavar="FOLDER",
        ),
    ] = None,
    engine: EngineOption = None,
    checkpoint_file: FileOption = None,
    home: HomeOption = None,
) -> None:
    """Make a model's int8 artifact, which is served without TensorFlow. Takes a minute or more."""
    settings = settings_with(engine=engine, home=home, checkpoint_file=checkpoint_file)
    configure_logging("warning", settings.observability.log_format)
    try:
        target = engine_for("int8", make_hardware(settings), engine=settings.model.engine).target(
            "int8"
        )
        artifact = make_artifact_cache(settings).obtain(
            name, target, checkpoint_file=settings.model.checkpoint_file, calibration=calibration
        )
    except BuilderError as error:
        end(f"{name} can't be quantized. {error}")
    made = artifact.manifest.calibration
    say(artifact.folder)
    if made is not None:
        say(f"Calibrated on {made.crops} crops of {made.source} ({made.photos} photos).")
    for one in artifact.report:
        say(
            f"Names the class that float32 names for {one.agreement_percent:g} % of "
            f"{one.count} images: {one.images}."
        )
