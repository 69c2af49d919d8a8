"""resnet calibrate."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from model_builder.artifact.confidence import remove_confidence, write_confidence
from model_builder.artifact.manifest import Artifact
from model_builder.errors import BuilderError
from model_builder.system.atomic_write import atomic_write
from model_builder.system.progress import counted
from service.cli.options import (
    DeviceOption,
    EngineOption,
    HomeOption,
    JsonOption,
    ModelArgument,
    PrecisionOption,
    end,
    say,
    settings_with,
)
from service.errors import ServiceError
from service.evaluation.accuracy import digest_of, labeled_images
from service.evaluation.calibration.collect import collect
from service.evaluation.calibration.diagram import reliability_svg
from service.evaluation.calibration.fit import Outcome, check_softmax, fit_confidence
from service.inference.artifacts import make_artifact_cache, make_hardware, obtain_artifact
from service.inference.loader import make_decoder_pool, warm_model
from service.inference.model import OneModel
from service.inference.service import InferenceService
from service.inference.speed.choice import choose_artifact
from service.observability.logging import configure_logging
from service.observability.metrics import Metrics
from service.settings import Settings

DIAGRAM, NUMBERS = "reliability.svg", "calibration.json"
# Standard errors: a gain that chance gives once in forty.
SIGNIFICANT = 2.0


def calibrate(
    name: ModelArgument,
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Images: a folder a class, named by WordNet id or label, or files whose names "
            "begin with the WordNet id. They must not be those that the model was trained on.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help=f"A folder for {DIAGRAM} and {NUMBERS}: the diagram, all figures."),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Forget the calibration, in every precision.")
    ] = False,
    as_json: JsonOption = False,
    precision: PrecisionOption = None,
    engine: EngineOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
) -> None:
    """Fit a model's confidence to labeled images, and say how good it is on others.

    Fits the artifact that `resnet serve` takes with the same options. Each image is measured with a
    fit to the others. Kept beside the artifact; a server shows it once it is started again.
    """
    settings = settings_with(precision=precision, engine=engine, device=device, home=home)
    if remove:
        if folder is not None:
            end(f"--remove goes without a folder. Received: {folder}")
        _remove(name, settings)
        return
    if folder is None or not folder.is_dir():
        end(f"{name} can't be calibrated. There is no folder {folder or 'of images given'}.")
    configure_logging("warning", settings.observability.log_format)
    try:
        artifact, outcome = _calibrate(name, folder, settings)
        if out is not None:
            _write_figures(out, outcome)
        write_confidence(artifact.folder, artifact.manifest, outcome.fitted)
    except (BuilderError, ServiceError, OSError) as error:
        end(f"{name} can't be calibrated. {error}")
    if as_json:
        typer.echo(json.dumps(_figures(outcome), indent=2))
    else:
        _print(outcome, artifact)


def _calibrate(name: str, folder: Path, settings: Settings) -> tuple[Artifact, Outcome]:
    hardware = make_hardware(settings)
    metrics = Metrics()
    artifact = obtain_artifact(name, settings, hardware)
    artifact = choose_artifact(name, artifact, settings, hardware)
    check_softmax(artifact.head)
    labeled = labeled_images(folder, artifact.labels)
    for one in labeled.skipped:
        say(f"{one} is skipped: no class has that name", err=True)
    for one in labeled.not_files:
        say(f"{one} is skipped: it is no file", err=True)
    model = warm_model(artifact, settings, hardware, metrics, calibrated=False)
    decoder = make_decoder_pool(settings, metrics)
    try:
        model.start()
        service = InferenceService(OneModel(model), decoder)
        with counted(f"Calibrating {name}", len(labeled.images)) as advance:
            collected = asyncio.run(
                collect(
                    labeled.images,
                    service,
                    skipped=lambda path, error: say(f"{path} is skipped: {error}", err=True),
                    advance=advance,
                )
            )
        digest = digest_of(labeled.images)
        return artifact, fit_confidence(collected, artifact.head, folder.name, digest)
    finally:
        model.close(settings.http.shutdown_timeout_seconds)
        decoder.close()


def _remove(name: str, settings: Settings) -> None:
    store = make_artifact_cache(settings)
    try:
        given = store.given_artifact(name)
        folders = [given.folder] if given else store.artifact_folders(store.checkpoint(name))
        removed = [folder for folder in folders if remove_confidence(folder)]
    except (BuilderError, OSError) as error:
        end(f"The calibration of {name} can't be removed. {error}")
    for folder in removed:
        say(f"Removed the calibration of {folder}")
    if not removed:
        say(f"{name} is not calibrated")


def _what_the_images_show(outcome: Outcome) -> str:
    gain, error = outcome.likelihood_gain, outcome.likelihood_gain_error
    if outcome.fitted.report.temperature == 1:
        return (
            "Temperature 1 is kept, confidence is probability: the labeled images do not show that "
            "the model is miscalibrated"
        )
    found = f"Scaling makes a label likelier by {gain:.4f} ± {error:.4f} nats (standard error)"
    if gain >= SIGNIFICANT * error:
        return found
    return (
        f"{found}, which may be chance: {outcome.fitted.report.held_out} images do not show that "
        "the model is miscalibrated. What was fitted is kept, for it is the better guess; more "
        "images tell more"
    )


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        **asdict(outcome.fitted.report),
        "likelihood_gain": outcome.likelihood_gain,
        "likelihood_gain_error": outcome.likelihood_gain_error,
        "bins_before": [asdict(one) for one in outcome.bins_before],
        "bins_after": [asdict(one) for one in outcome.bins_after],
        "coverage": [asdict(one) for one in outcome.coverage],
    }


def _write_figures(folder: Path, outcome: Outcome) -> None:
    report = outcome.fitted.report
    folder.mkdir(parents=True, exist_ok=True)
    titles = (
        f"{name}: calibration error {figures.expected_calibration_error:.3f}"
        for name, figures in (("before", report.before), ("after", report.after))
    )
    bins = (outcome.bins_before, outcome.bins_after)
    svg = reliability_svg(list(zip(titles, bins, strict=True)))
    atomic_write(folder / DIAGRAM, svg.encode())
    atomic_write(folder / NUMBERS, json.dumps(_figures(outcome), indent=2).encode())


def _print(outcome: Outcome, artifact: Artifact) -> None:
    report, console = outcome.fitted.report, Console()
    how = "vector scaling"
    if report.temperature is not None:
        how = f"temperature {report.temperature:.3f}"
    figures = Table(
        f"{report.held_out} images, each left out of a fit",
        "before",
        "after",
        title=f"{how}, fitted on {report.fitted_on} images",
    )
    pair = (report.before, report.after)
    for title, member in (
        ("expected calibration error", "expected_calibration_error"),
        ("debiased calibration error", "debiased_calibration_error"),
        ("negative log-likelihood", "negative_log_likelihood"),
        ("Brier score", "brier_score"),
    ):
        figures.add_row(title, *(f"{getattr(one, member):.4f}" for one in pair))
        if member == "expected_calibration_error":
            by_chance = (
                f"{one.chance_error_mean:.3f} ± {one.chance_error_deviation:.3f}" for one in pair
            )
            figures.add_row("  by chance alone", *by_chance)
    console.print(figures)
    coverage = Table("abstain below", "answered", "of them right", "wrong", title="Abstaining")
    for row in outcome.coverage:
        coverage.add_row(
            f"{row.abstain_below:g}",
            f"{row.coverage_percent:g} %",
            f"{row.accuracy_percent:g} %",
            f"{row.wrong}",
        )
    console.print(coverage)
    say(_what_the_images_show(outcome))
    limit = report.before.chance_error_mean + 2 * report.before.chance_error_deviation
    if report.before.expected_calibration_error <= limit:
        say(
            f"As far as {report.held_out} images tell by the calibration error, the model was "
            "calibrated before"
        )
    say(f"Out-of-distribution score: {report.out_of_distribution}; above 1 for 5 % of such images")
    say(f"Kept beside {artifact.folder}")
