"""resnet models."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Column, Table

from service.cli.cells import cell
from service.cli.options import HomeOption, JsonOption, settings_with
from service.inference.artifacts import make_artifact_cache
from service.inference.model_info import list_model_info


def models(as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the depths and the checkpoints that can be served."""
    own = make_artifact_cache(settings_with(home=home)).list_custom()
    infos = list_model_info((), own, {})
    if as_json:
        typer.echo(json.dumps([asdict(info) for info in infos], indent=2))
        return
    # Never cut short: names are copied from here.
    name_column = Column("checkpoint", no_wrap=True)
    table = Table(name_column, "parameters", "MACs", "top-1", "top-5", "licence")
    for info in infos:
        for row in info.checkpoints:
            size = f"{row.parameters / 1e6:.1f} M", f"{row.macs / 1e9:.2f} G"
            name = row.name + (" (default)" if row.default else "")
            accuracy = _percent(row.top1_percent), _percent(row.top5_percent)
            table.add_row(cell(name), *size, *accuracy, cell(row.licence))
    Console().print(table)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value} %"
