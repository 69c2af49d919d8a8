"""The example with a short training, and docs/models.md's figures of its full run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.examples.running import ROOT, run_example

PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
RUNS = json.loads((ROOT / "docs" / "plain_against_residual.json").read_text(encoding="utf-8"))


def test_it_trains_every_network_and_plots_it(tmp_path: Path) -> None:
    out = tmp_path / "result"
    arguments = ("--depths", "8", "14", "--seeds", "1", "--epochs", "2", "--out", str(out))
    done = run_example("plain_against_residual.py", *arguments)
    assert done.returncode == 0, done.stderr
    runs = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert [(one["kind"], one["depth"]) for one in runs] == [
        ("plain", 8),
        ("plain", 14),
        ("residual", 8),
        ("residual", 14),
    ]
    for one in runs:
        assert len(one["training_loss"]) == 2
        assert all(math.isfinite(loss) for loss in one["training_loss"])
        # Shallow networks learn at once, with or without shortcuts.
        assert one["training_loss"][1] < one["training_loss"][0]
    assert ElementTree.parse(out.with_suffix(".svg")).getroot().tag.endswith("svg")


@pytest.mark.parametrize("one", RUNS, ids=lambda one: f"{one['kind']}-{one['depth']}-{one['seed']}")
def test_every_run_is_on_the_page(one: dict[str, Any]) -> None:
    accuracies = f"{one['training_accuracy']:.1%} | {one['test_accuracy']:.1%}".replace("%", " %")
    loss = f"{one['training_loss'][-1]:.4f}"
    row = f"| {one['kind']} | {one['depth']} | {one['seed']} | {loss} | {accuracies} |"
    assert row in PAGE


def test_the_conclusions_on_the_page_follow_from_the_runs() -> None:
    loss = {(one["kind"], one["depth"], one["seed"]): one["training_loss"][-1] for one in RUNS}
    for seed in range(3):
        assert loss["plain", 56, seed] > 100 * loss["plain", 20, seed]
        assert loss["residual", 56, seed] < loss["residual", 20, seed]
