"""Predicted photos as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from service.cli.cells import cell
from service.inference.outputs import ClassScore


@dataclass(frozen=True, slots=True)
class Predicted:
    """One photo's classes, the most probable first.

    assessed: the members of `assessed`. outputs: those of `PhotoOutputs.members`.
    """

    scores: tuple[ClassScore, ...]
    assessed: Mapping[str, bool | float]
    outputs: Mapping[str, Any]


# Or the reason why there is none.
Outcome = Predicted | str


def print_table(photos: Sequence[Path], outcomes: Sequence[Outcome]) -> None:
    """The classes, and below them what a calibration or a threshold has to say."""
    predicted = [one for one in outcomes if isinstance(one, Predicted)]
    calibrated = any(score.confidence is not None for one in predicted for score in one.scores)
    table = Table("image", "class", "probability", *(["confidence"] if calibrated else []))
    for photo, outcome in zip(photos, outcomes, strict=True):
        name = cell(photo)
        if isinstance(outcome, str):
            table.add_row(name, cell(outcome, "red"), end_section=True)
            continue
        for score in outcome.scores:
            shown = [f"{score.probability:7.2%}"]
            if score.confidence is not None:
                shown.append(f"{score.confidence:7.2%}")
            table.add_row(name, cell(score.label), *shown)
            name = cell("")
        for remark in _remarks(outcome.assessed):
            table.add_row("", cell(remark, "yellow"))
        table.add_section()
    Console().print(table)


def _remarks(members: Mapping[str, bool | float]) -> list[str]:
    remarks = []
    if "abstained" in members:
        remarks.append("abstained" if members["abstained"] else "not abstained")
    if "ood_score" in members:
        far = "out of distribution" if members["out_of_distribution"] else "in distribution"
        remarks.append(f"{far}: score {members['ood_score']:g}")
    return remarks


def print_json(photos: Sequence[Path], outcomes: Sequence[Outcome], *, predictions: bool) -> None:
    """In the form of POST /predict. predictions: whether the classes are asked for."""
    rows: list[dict[str, Any]] = []
    for photo, outcome in zip(photos, outcomes, strict=True):
        row: dict[str, Any] = {"image": str(photo)}
        if isinstance(outcome, str):
            row["error"] = outcome
        else:
            if predictions:
                row["predictions"] = [_members(score) for score in outcome.scores]
            row |= {**outcome.assessed, **outcome.outputs}
        rows.append(row)
    typer.echo(json.dumps(rows, indent=2))


def _members(score: ClassScore) -> dict[str, Any]:
    return {name: value for name, value in asdict(score).items() if value is not None}
