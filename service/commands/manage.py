"""resnet pull, verify and remove: what is kept on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from model_builder.artifact import read_artifact
from model_builder.errors import BuilderError
from service.commands.options import DeviceOption, HomeOption, PrecisionOption, end, settings_with
from service.cpu import cpu_limit
from service.engines import Hardware, choose_precision, load_engines
from service.loading import make_store
from service.log import configure_logging
from service.settings import Settings
from service.verification import verify as verify_on

Names = Annotated[list[str], typer.Argument(help="Depths or checkpoints.", metavar="NAME...")]


def pull(
    names: Names,
    precision: PrecisionOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
) -> None:
    """Fetch and build ahead of time: for images, and for machines without a network."""
    settings = settings_with({"precision": precision, "device": device, "home": home})
    configure_logging("warning", settings.log_format)
    try:
        chosen = choose_precision(settings.precision, _hardware(settings))
        for name in names:
            typer.echo(make_store(settings).obtain(name, chosen).folder)
    except BuilderError as error:
        end(str(error))


def verify(
    names: Names,
    precision: PrecisionOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
) -> None:
    """Check a model's files, and its logits on stored pictures. Ends with 1 where they differ."""
    settings = settings_with({"precision": precision, "device": device, "home": home})
    configure_logging("warning", settings.log_format)
    failed = False
    try:
        hardware = _hardware(settings)
        chosen = choose_precision(settings.precision, hardware)
        store = make_store(settings)
        for name in names:
            # Read, not obtained: what is damaged is to be told of, not built again in silence.
            artifact = read_artifact(store.artifact_folder(store.checkpoint(name), chosen))
            for engine in load_engines(artifact, hardware):
                result = verify_on(artifact, engine)
                failed = failed or not result.passed
                typer.echo(
                    f"{artifact.manifest.name} in {chosen} on {result.device}: files whole, "
                    f"logits differ by {result.difference:.2g} of their deviation, "
                    f"allowed {result.tolerance:g}: {'passed' if result.passed else 'FAILED'}"
                )
    except BuilderError as error:
        end(str(error))
    if failed:
        raise typer.Exit(1)


def remove(names: Names, home: HomeOption = None) -> None:
    """Delete what is kept of a model: its artifacts and its published file or import."""
    store = make_store(settings_with({"home": home}))
    for name in names:
        try:
            removed = store.remove(name)
        except (BuilderError, OSError) as error:
            end(str(error))
        for path in removed:
            typer.echo(f"Removed {path}")
        if not removed:
            typer.echo(f"Nothing of {name} is kept in {store.home}")


def _hardware(settings: Settings) -> Hardware:
    return Hardware(settings.device, settings.cpu_threads or cpu_limit(), max_batch_size=1)
