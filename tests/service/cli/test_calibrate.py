"""`resnet calibrate` around an engine that sees colors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from model_builder.artifact.confidence import CONFIDENCE, read_confidence
from model_builder.artifact.manifest import Artifact
from service.cli.commands.measure import calibrate
from service.cli.main import main
from service.evaluation.calibration.fit import Outcome, fit_confidence
from service.inference.model import Model
from service.observability.metrics import Metrics, ModelMetrics
from tests.service.color_artifact import write_color_artifact
from tests.service.fakes import WAIT_SECONDS, FakeEngine, batch_sizes_of
from tests.service.images import encoded

run = CliRunner(env={"COLUMNS": "200"}).invoke
NOISE = 60


@pytest.fixture(autouse=True)
def _fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def warm_model(artifact: Artifact, *_: Any, calibrated: bool) -> Model:
        assert not calibrated
        engine = FakeEngine()
        return Model(
            artifact,
            (engine,),
            ModelMetrics(Metrics(), artifact.manifest.name),
            batch_sizes=batch_sizes_of(engine),
            queue_limit=256,
            wait_limit_seconds=WAIT_SECONDS,
        )

    monkeypatch.setattr(calibrate, "warm_model", warm_model)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return write_color_artifact(tmp_path / "artifact")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Reds and greens, of which some are labeled as the other."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "images"
    for index in range(80):
        color = generator.normal((150, 110, 20) if index % 2 else (110, 150, 20), NOISE)
        label = "red" if color[0] + generator.normal(scale=NOISE) > color[1] else "green"
        (folder / label).mkdir(parents=True, exist_ok=True)
        shown = tuple(int(one) for one in np.clip(color, 0, 255))
        data = encoded(Image.new("RGB", (40, 40), shown))
        (folder / label / f"{index}.png").write_bytes(data)
    return folder


def test_the_figures_are_printed_and_kept(artifact: Artifact, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(main, ["calibrate", str(artifact.folder), str(images), "--out", str(out)])
    assert done.exit_code == 0, done.output
    for said in (
        "80 images, each left out of a fit",
        "expected calibration error",
        "by chance alone",
        "debiased calibration error",
        "abstain below",
        "ViM",
    ):
        assert said in done.output
    fitted = read_confidence(artifact.folder, artifact.manifest)
    assert fitted is not None
    figures = json.loads((out / "calibration.json").read_text())
    assert figures["after"]["brier_score"] == fitted.report.after.brier_score
    assert figures["images"] == "images"
    assert sum(one["count"] for one in figures["bins_after"]) == 80
    assert (out / "reliability.svg").read_text().startswith("<svg ")
    # The colors' head is far too sure.
    report = fitted.report
    assert report.after.negative_log_likelihood < report.before.negative_log_likelihood


@pytest.mark.parametrize(
    ("gain", "error", "temperature", "said"),
    [
        (0.3, 0.02, 2.0, "likelier by 0.3000 ± 0.0200 nats (standard error)\n"),
        (0.01, 0.009, 0.8, "which may be chance: 80 images do not show that"),
        (0.0, 0.0, 1.0, "Temperature 1 is kept, confidence is probability: the labeled images"),
    ],
)
def test_it_says_what_the_images_show(
    artifact: Artifact,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    gain: float,
    error: float,
    temperature: float,
    said: str,
) -> None:
    def fit(*arguments: Any) -> Outcome:
        outcome = fit_confidence(*arguments)
        report = replace(outcome.fitted.report, temperature=temperature)
        fitted = replace(outcome.fitted, report=report)
        return replace(outcome, fitted=fitted, likelihood_gain=gain, likelihood_gain_error=error)

    monkeypatch.setattr(calibrate, "fit_confidence", fit)
    done = run(main, ["calibrate", str(artifact.folder), str(images)])
    assert done.exit_code == 0, done.output
    assert said in done.output


def test_as_json(artifact: Artifact, images: Path) -> None:
    done = run(main, ["calibrate", str(artifact.folder), str(images), "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert {"before", "after", "coverage", "bins_before", "method"} <= figures.keys()
    assert figures["likelihood_gain"] > 2 * figures["likelihood_gain_error"] > 0


def test_it_is_removed_and_then_not_there(artifact: Artifact, images: Path) -> None:
    path = artifact.folder / CONFIDENCE
    assert run(main, ["calibrate", str(artifact.folder), str(images)]).exit_code == 0
    assert path.is_file()
    done = run(main, ["calibrate", str(artifact.folder), "--remove"])
    assert (done.exit_code, path.exists()) == (0, False)
    assert "Removed the calibration" in done.output
    assert "is not calibrated" in run(main, ["calibrate", str(artifact.folder), "--remove"]).output


def test_a_damaged_calibration_is_replaced(artifact: Artifact, images: Path) -> None:
    (artifact.folder / CONFIDENCE).write_bytes(b"damaged")
    assert run(main, ["calibrate", str(artifact.folder), str(images)]).exit_code == 0
    assert read_confidence(artifact.folder, artifact.manifest) is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "There is no folder"),
        (["nowhere"], "There is no folder nowhere"),
        ([".", "--remove"], "--remove goes without a folder"),
    ],
)
def test_what_can_not_be_is_said(artifact: Artifact, arguments: list[str], said: str) -> None:
    done = run(main, ["calibrate", str(artifact.folder), *arguments])
    assert done.exit_code == 2
    assert said in done.output


def test_too_few_images_leave_what_is_there(artifact: Artifact, images: Path) -> None:
    assert run(main, ["calibrate", str(artifact.folder), str(images)]).exit_code == 0
    kept = (artifact.folder / CONFIDENCE).read_bytes()
    for path in sorted(images.rglob("*.png"))[:50]:
        path.unlink()
    done = run(main, ["calibrate", str(artifact.folder), str(images)])
    assert done.exit_code == 2
    assert "takes 40 labeled images or more" in done.output
    assert (artifact.folder / CONFIDENCE).read_bytes() == kept
