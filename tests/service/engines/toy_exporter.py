"""Writes the network of `toy_engine`: the number of features."""

from __future__ import annotations

from pathlib import Path

from model_builder.artifact.report import Measurement
from model_builder.exporters.base import Exported, ExportSource


def export(source: ExportSource) -> Exported:
    features = source.head.kernel.shape[0]

    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / "toy.txt").write_text(str(features))

    return Exported(write, report=(Measurement("nothing", 1, 100.0),))
