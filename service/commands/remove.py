"""resnet remove."""

from __future__ import annotations

import typer

from model_builder.errors import BuilderError
from service.commands.options import HomeOption, NamesArgument, end, settings_with
from service.loading import make_store


def remove(names: NamesArgument, home: HomeOption = None) -> None:
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
