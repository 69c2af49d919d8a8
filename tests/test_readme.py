"""What the README says of settings and models is what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_builder.checkpoints.catalog import CHECKPOINTS
from model_builder.networks.config import DEPTHS
from service.settings import PREFIX, Settings

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def default_in_words(name: str) -> str:
    default = Settings.fields()[name].default
    if name == "home":
        return "the user's cache folder"
    return "" if default in (None, "") else f"`{default}`"


@pytest.mark.parametrize("name", Settings.fields())
def test_every_setting_has_its_row(name: str) -> None:
    description = Settings.fields()[name].description
    assert f"| `{PREFIX}{name.upper()}` | {default_in_words(name)} | {description} |" in README


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_depth_has_its_row(depth: int) -> None:
    assert f"resnet{depth}" in README


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_checkpoint_has_its_row(name: str) -> None:
    checkpoint = CHECKPOINTS[name]
    row = next(line for line in README.splitlines() if f"| `{name}` |" in line)
    parameters = checkpoint.architecture.parameters() / 1e6
    macs = checkpoint.architecture.macs(checkpoint.preprocessing.crop_size) / 1e9
    assert f"| {parameters:.1f} M | {macs:.2f} G |" in row
    accuracy = f"{checkpoint.top1_percent} / {checkpoint.top5_percent} %"
    assert f"| {'not stated' if checkpoint.top1_percent is None else accuracy} |" in row
    assert row.rstrip().endswith(f"| {checkpoint.licence} |")
