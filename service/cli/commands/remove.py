"""resnet remove."""

from __future__ import annotations

from typing import Annotated

import typer

from model_builder.errors import BuilderError
from service.cli.options import HomeOption, NamesArgument, end, say, settings_with
from service.inference.artifacts import make_artifact_cache
from service.inference.speed.choice import kept_files


def remove(
    names: NamesArgument,
    measurements: Annotated[
        bool,
        typer.Option("--measurements", help="Only what `resnet evaluate` measured."),
    ] = False,
    home: HomeOption = None,
) -> None:
    """Delete what is kept of a model: artifacts, batch sizes, its published file or import."""
    store = make_artifact_cache(settings_with(home=home))
    for name in names:
        try:
            if measurements:
                count = store.forget_measurements(name)
                say(f"Removed {count} measurements of {name}")
                continue
            removed = store.remove(name)
        except (BuilderError, OSError) as error:
            end(str(error))
        for path in removed:
            for plan in kept_files(store.home, path.name):
                plan.unlink(missing_ok=True)
            say(f"Removed {path}")
        if not removed:
            say(f"Nothing of {name} is kept in {store.home}")
