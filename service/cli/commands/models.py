"""resnet models."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Column, Table

from service.cli.options import HomeOption, JsonOption, settings_with
from service.inference.loader import make_artifact_cache
from service.inference.model_info import list_model_info


def models(as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the depths and the checkpoints that can be served."""
    own = make_artifact_cache(settings_with({"home": home})).list_custom()
    bodies = list_model_info((), own, {})
    if as_json:
        typer.echo(json.dumps([body.model_dump() for body in bodies], indent=2))
        return
    # A name that is cut short can't be copied.
    name_column = Column("checkpoint", no_wrap=True)
    table = Table(name_column, "parameters", "MACs", "top-1", "top-5", "licence")
    for body in bodies:
        size = f"{body.parameters / 1e6:.1f} M", f"{body.macs / 1e9:.2f} G"
        for row in body.checkpoints:
            name = row.name + (" (default)" if row.default else "")
            accuracy = _percent(row.top1_percent), _percent(row.top5_percent)
            table.add_row(name, *size, *accuracy, row.licence)
    Console().print(table)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value} %"
