"""The example on a photo with the published weights, and docs/models.md's figures of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from model_builder.checkpoints.download.fetch import LocalFile
from model_builder.networks.config import ResNetConfig
from tests.examples.running import ROOT, run_example

SHOWN = json.loads((ROOT / "docs" / "residuals.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


@pytest.mark.weights
def test_it_finds_what_the_page_shows(published: LocalFile, tmp_path: Path) -> None:
    out = tmp_path / "coffee"
    photo = ROOT / "tests" / "photos" / "coffee_cup.jpg"
    done = run_example(
        "residuals.py",
        str(photo),
        f"--out={out}",
        environment={"RESNET_CHECKPOINT_FILE": str(published.path)},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert (found["model"], found["answer"]) == (SHOWN["model"], SHOWN["answer"])
    names = [block.name for block in ResNetConfig.of("resnet50").blocks()]
    assert [one["name"] for one in found["blocks"]] == names
    for one, shown in zip(found["blocks"], SHOWN["blocks"], strict=True):
        assert one == pytest.approx(shown, abs=1e-3)
    with Image.open(out.with_suffix(".png")) as image:
        assert image.size == (880, 600)


def test_the_conclusions_on_the_page_follow_from_the_run() -> None:
    assert f"**{SHOWN['answer']}**, {SHOWN['probability']:.1%}".replace("%", " %") in PAGE
    blocks = SHOWN["blocks"]
    assert {one["answer_without"] for one in blocks} == {SHOWN["answer"]}
    least = min(one["probability_without"] for one in blocks)
    smaller = sum(one["share"] < 1 for one in blocks)
    assert f"at least {least:.0%}".replace("%", " %") in PAGE
    assert f"In {smaller} of the {len(blocks)} blocks" in PAGE
