"""resnet describe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from model_builder.artifact.manifest import MANIFEST
from model_builder.artifact.store_format import read_manifest
from model_builder.checkpoints.catalog import CHECKPOINTS
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.errors import BuilderError
from model_builder.networks import summary as family
from model_builder.networks.config import RESNETS, ResNetConfig, Shortcut
from model_builder.networks.diagram.drawing import SUFFIXES, draw
from model_builder.networks.members import PLAIN_WIDTH, member_name
from model_builder.networks.summary import Description, Stage
from service.cli.cells import cell
from service.cli.options import HomeOption, Variant, complete_model, end, settings_with
from service.inference.artifacts import make_artifact_cache

Compare = Literal["depths", "shortcuts", "variants"]
SHORTCUTS: tuple[Shortcut, ...] = ("none", "A", "B", "C")
FILE_COLUMNS = "240"


def describe(
    name: Annotated[
        str,
        typer.Argument(
            help="A depth (resnet18), a checkpoint, published or imported, or an artifact folder.",
            metavar="NAME",
            autocompletion=complete_model,
        ),
    ] = "resnet50",
    shortcut: Annotated[
        Shortcut | None, typer.Option(help="Shortcut option; none is the plain network.")
    ] = None,
    variant: Annotated[
        Variant | None, typer.Option(help="Where a bottleneck halves: its 1x1 (v1), its 3x3.")
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(min=1, help="Edge of the image, in pixels.")
    ] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Classes.")] = None,
    compare: Annotated[
        Compare | None, typer.Option(help="All depths, options or variants side by side.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Every layer, as Keras has it.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw it block by block into this .png or .svg; "
            "with --layers, layer by layer, which needs pydot and graphviz.",
            metavar="FILE",
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Print what a network is made of, stage by stage, as the paper's table 1 does.

    A depth that has published weights is shown as they have it.
    """
    if compare and layers:
        end("--layers goes with one network, not with --compare.")
    if (compare == "shortcuts" and shortcut) or (compare == "variants" and variant):
        end(f"--compare {compare} shows them all. Received one too: {shortcut or variant}")
    if plot and plot.suffix.lower() not in SUFFIXES:
        end(f"--plot draws {' or '.join(SUFFIXES)}. Received: {plot}")
    try:
        architecture, size = _network(name, home)
        networks = [
            family.describe(one, input_size or size)
            for one in _wanted(architecture, shortcut, variant, classes, compare)
        ]
        if compare == "variants" and networks[0].title == networks[1].title:
            end(f"Basic blocks have no 1x1 to halve on: v1 and v1.5 are one. Received: {name}")
        _print(networks, compare)
        if layers:
            typer.echo(family.layer_summary(networks[0].architecture, networks[0].input_size))
        if plot and layers:
            family.plot_layers(networks[0].architecture, networks[0].input_size, plot)
        elif plot:
            draw(networks, plot)
    except BuilderError as error:
        end(str(error))
    except OSError as error:
        end(f"{plot} can't be written: {error}")


def _network(name: str, home: Path | None) -> tuple[ResNetConfig, int]:
    """What is built for that name, and the edge of the images it is fed. Raises BuilderError."""
    if (Path(name) / MANIFEST).is_file():
        manifest = read_manifest(Path(name))
        return manifest.architecture, manifest.preprocessing.crop_size
    checkpoint = make_artifact_cache(settings_with(home=home)).checkpoint(name)
    return checkpoint.architecture, checkpoint.preprocessing.crop_size


def _wanted(
    architecture: ResNetConfig,
    shortcut: Shortcut | None,
    variant: Variant | None,
    classes: int | None,
    compare: Compare | None,
) -> list[ResNetConfig]:
    """The architecture with the options that were given, as often as it is to be compared."""
    one = replace(
        architecture,
        shortcut=shortcut or architecture.shortcut,
        stride_in_1x1=variant == "v1" if variant else architecture.stride_in_1x1,
        classes=classes or architecture.classes,
    )
    if compare == "depths":
        return [_of_depth(one, name) for name in RESNETS]
    if compare == "shortcuts":
        return [replace(one, shortcut=option) for option in SHORTCUTS]
    if compare == "variants":
        return [replace(one, stride_in_1x1=v1) for v1 in (True, False)]
    return [one]


def _of_depth(one: ResNetConfig, base: str) -> ResNetConfig:
    """The same member of another depth; basic blocks are neither wide nor grouped."""
    block, layers = RESNETS[base]
    member = replace(one.member, base=base)
    if block == "basic":
        member = replace(member, cardinality=1, width_per_group=PLAIN_WIDTH)
    return replace(
        one,
        name=member_name(member),
        block=block,
        layers=layers,
        cardinality=member.cardinality,
        width_per_group=member.width_per_group,
    )


def _print(networks: Sequence[Description], compare: Compare | None) -> None:
    if not sys.stdout.isatty():
        # A file has no edge to wrap at. Rich and Keras both take their width from here.
        os.environ.setdefault("COLUMNS", FILE_COLUMNS)
    console = Console()
    size = networks[0].input_size
    what = f"All {compare}" if compare else networks[0].title
    console.print(cell(f"{what}, for images of {size} x {size}"))
    console.print(_side_by_side(networks, compare) if compare else _table(networks[0]))
    if published := _published(networks):
        console.print(_accuracies(published))


def _table(network: Description) -> Table:
    columns = "stage", "in the paper", "output", "kernels", "shortcuts", "parameters"
    table = Table(*columns, "MACs", show_lines=True)
    for column in table.columns[-2:]:
        column.justify = "right"
    for stage in network.stages:
        table.add_row(
            stage.name,
            stage.paper_name,
            f"{_edges(stage)} x {stage.channels}",
            Text("\n".join(_kernels(stage))),
            _shortcuts(stage),
            f"{stage.parameters:,}",
            f"{stage.macs:,}",
        )
    table.add_row("all", "", "", "", "", f"{network.parameters:,}", f"{network.macs:,}")
    return table


def _side_by_side(networks: Sequence[Description], compare: Compare) -> Table:
    columns = "stage", "in the paper", "output"
    titles = (Column(Text("\n").join(map(cell, one.title.split(", ")))) for one in networks)
    table = Table(*columns, *titles, show_lines=True)
    for rows in zip(*(one.stages for one in networks), strict=True):
        cells = [Text("\n".join(_cell(stage, compare))) for stage in rows]
        table.add_row(rows[0].name, rows[0].paper_name, _edges(rows[0]), *cells)
    table.add_row("parameters", "", "", *(f"{one.parameters / 1e6:.2f} M" for one in networks))
    table.add_row("MACs", "", "", *(f"{one.macs / 1e9:.2f} G" for one in networks))
    return table


def _cell(stage: Stage, compare: Compare) -> Iterator[str]:
    yield from _kernels(stage)
    if stage.blocks and compare == "shortcuts":
        yield _shortcuts(stage)
    if stage.blocks and compare == "variants":
        strided = [one for one in stage.blocks[0].convolutions if one.stride > 1]
        yield f"halved by: {family.label(strided[0])}" if strided else "not halved"


def _edges(stage: Stage) -> str:
    return f"{stage.output_size} x {stage.output_size}"


def _kernels(stage: Stage) -> list[str]:
    """One block's convolutions in brackets, and how many such blocks; strides are left out."""
    if not stage.blocks:
        return list(stage.layers)
    block = stage.blocks[0]
    kernels = [family.label(replace(one, stride=1)) for one in block.convolutions]
    widest = max(map(len, kernels))
    lines = [f"[{kernel:<{widest}}]" for kernel in kernels]
    lines[(len(lines) - 1) // 2] += f" x {len(stage.blocks)}"
    return lines


def _shortcuts(stage: Stage) -> str:
    return ", ".join(
        kind if kind == "none" else f"{kind} x {count}" for kind, count in stage.shortcuts().items()
    )


def _published(networks: Sequence[Description]) -> list[Checkpoint]:
    """The catalog's rows of these networks."""
    shown = {(one.title, one.architecture.classes) for one in networks}
    return [
        row
        for row in CHECKPOINTS.values()
        if (family.title(row.architecture), row.architecture.classes) in shown
    ]


def _accuracies(checkpoints: Sequence[Checkpoint]) -> Table:
    table = Table("published weights", "top-1", "top-5", "licence")
    for row in sorted(checkpoints, key=lambda row: row.depth):
        stated = row.top1_percent, row.top5_percent
        percents = ("" if one is None else f"{one} %" for one in stated)
        table.add_row(cell(row.name), *percents, cell(row.licence))
    return table
