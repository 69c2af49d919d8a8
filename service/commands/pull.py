"""resnet pull."""

from __future__ import annotations

import typer

from model_builder.errors import BuilderError
from service.commands.options import (
    DeviceOption,
    HomeOption,
    NamesArgument,
    PrecisionOption,
    end,
    settings_with,
)
from service.engines import choose_precision
from service.loading import make_hardware, make_store
from service.log import configure_logging


def pull(
    names: NamesArgument,
    precision: PrecisionOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
) -> None:
    """Fetch and build ahead of time: for images, and for machines without a network."""
    settings = settings_with({"precision": precision, "device": device, "home": home})
    configure_logging("warning", settings.log_format)
    store = make_store(settings)
    try:
        chosen = choose_precision(settings.precision, make_hardware(settings))
        for name in names:
            typer.echo(store.obtain(name, chosen).folder)
    except BuilderError as error:
        end(str(error))
