"""What `resnet calibrate` gains on labeled images, and how well scores tell other images from them.

Calibration: of the model as it is, and with its logits made flatter and steeper, as training with
binary cross-entropy and training for too long leave them. Out of distribution: the labeled images
are shared out to folds; those of each, and the unknown ones, are scored by what was fitted to the
others. AUROC, and the share of the unknown that pass where 95 % of the known do (FPR).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model_builder.artifact.confidence import CalibrationReport
from model_builder.artifact.head import Head, softmax
from service.errors import InvalidParameter, ServiceError
from service.evaluation.accuracy import LabeledImage, labeled_images
from service.evaluation.calibration.collect import Collected, collect
from service.evaluation.calibration.fit import FOLDS, fit_confidence, halves, split
from service.evaluation.calibration.scaling import fit_temperature
from service.inference.artifacts import make_hardware, obtain_artifact
from service.inference.confidence.assessor import penultimate, scale
from service.inference.confidence.out_of_distribution import (
    KNOWN_PERCENT,
    Detector,
    fit_detector,
)
from service.inference.loader import make_decoder_pool, warm_model
from service.inference.model import OneModel
from service.inference.service import InferenceService
from service.inference.speed.choice import choose_artifact
from service.observability.metrics import Metrics
from service.settings import Settings

Array = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

FACTORS = (1.0, 0.35, 2.5)
NEIGHBOR = 10
SEEDS = range(2)
PROBABILITY, ENERGY, NEAREST, VIM = "largest probability", "energy", "10th nearest", "ViM"
METHODS = (PROBABILITY, ENERGY, NEAREST, VIM)


@dataclass(frozen=True, slots=True)
class CalibrationGain:
    """logits: the factor that they were taken with. gain, error: of the likelihood, in nats."""

    logits: float
    report: CalibrationReport
    gain: float
    error: float


@dataclass(frozen=True, slots=True)
class Separation:
    """By one score, in percent. passing: of each kind of the unknown, by its folder's name."""

    method: str
    auroc: float
    fpr: float
    passing: dict[str, float]


@dataclass(frozen=True, slots=True)
class ConfidenceQuality:
    artifact: str
    known: int
    unknown: int
    calibration: list[CalibrationGain]
    separation: list[Separation]


def measure_confidence(
    name: str, settings: Settings, known: Path, unknown: Path | None
) -> ConfidenceQuality:
    """known: images as `resnet calibrate` takes them. unknown: a folder with one for each kind.

    Raises ServiceError, BuilderError, InvalidParameter and OSError.
    """
    hardware = make_hardware(settings)
    artifact = obtain_artifact(name, settings, hardware)
    artifact = choose_artifact(name, artifact, settings, hardware)
    paths = sorted(path for path in unknown.rglob("*") if path.is_file()) if unknown else []
    metrics = Metrics()
    model = warm_model(artifact, settings, hardware, metrics, calibrated=False)
    decoder = make_decoder_pool(settings, metrics)
    try:
        model.start()
        service = InferenceService(OneModel(model), decoder)
        labeled = labeled_images(known, artifact.labels).images
        skipped: set[Path] = set()
        data = asyncio.run(_collect(labeled, service, set()))
        others = asyncio.run(_collect([LabeledImage(path, 0) for path in paths], service, skipped))
    finally:
        model.close(settings.http.shutdown_timeout_seconds)
        decoder.close()
    kinds = [path.parent.name for path in paths if path not in skipped]
    return ConfidenceQuality(
        artifact.folder.name,
        len(data),
        len(others),
        [_gain(data, artifact.head, factor) for factor in FACTORS],
        separations(data, others, kinds, artifact.head) if kinds else [],
    )


async def _collect(
    images: Sequence[LabeledImage], service: InferenceService, skipped: set[Path]
) -> Collected:
    def skip(path: Path, _error: ServiceError) -> None:
        skipped.add(path)

    return await collect(images, service, skipped=skip, advance=lambda _: None)


def _gain(data: Collected, head: Head, factor: float) -> CalibrationGain:
    by = np.float32(factor)
    scaled = Collected(data.pooled, data.logits * by, data.class_ids)
    outcome = fit_confidence(scaled, Head(head.kernel * by, head.bias * by), "", "")
    return CalibrationGain(
        factor, outcome.fitted.report, outcome.likelihood_gain, outcome.likelihood_gain_error
    )


def separations(
    known: Collected, unknown: Collected, kinds: Sequence[str], head: Head
) -> list[Separation]:
    """Of each method. kinds: of each unknown image. Means over SEEDS ways to share out."""
    if len(known) < 2 * FOLDS:
        raise InvalidParameter(f"Folds take {2 * FOLDS} images or more. Received: {len(known)}")
    return [_separation(method, known, unknown, np.array(kinds), head) for method in METHODS]


def _separation(
    method: str, known: Collected, unknown: Collected, kinds: npt.NDArray[np.str_], head: Head
) -> Separation:
    ranks, passing = [], []
    for seed in SEEDS:
        inside, outside = np.zeros(len(known)), []
        for fold in split(known.class_ids, FOLDS, seed):
            others = known.rows(np.setdiff1d(np.arange(len(known)), fold))
            score = fitted_score(method, others, head, seed)
            inside[fold] = score(known.rows(fold))
            outside.append(score(unknown))
        scores = np.stack(outside)
        ranks.append(auroc(inside, scores.ravel()))
        passing.append((scores <= np.percentile(inside, KNOWN_PERCENT)).mean(axis=0))
    passed = np.mean(passing, axis=0)
    return Separation(
        method,
        100 * float(np.mean(ranks)),
        100 * float(passed.mean()),
        {str(kind): 100 * float(passed[kinds == kind].mean()) for kind in np.unique(kinds)},
    )


def auroc(inside: Values, outside: Values) -> float:
    """How often an unknown image has the higher score of a pair; a half for equal ones."""
    ordered = np.sort(inside)
    below = np.searchsorted(ordered, outside, side="left")
    equal = np.searchsorted(ordered, outside, side="right") - below
    return float((below + equal / 2).mean() / len(inside))


def fitted_score(
    method: str, data: Collected, head: Head, seed: int
) -> Callable[[Collected], Values]:
    """The scores of images, [N], higher for what is less like those that it is fitted to."""
    scaling = fit_temperature(data.logits, data.class_ids)
    if method == VIM:
        # As `fit_confidence` does: one half for the subspace, the other for the threshold.
        first, second = (
            (penultimate(head, half.pooled), scale(half.logits, scaling))
            for half in (data.rows(one) for one in halves(data.class_ids, seed))
        )
        detector = Detector(fit_detector(first, second, head))

    def score(images: Collected) -> Values:
        logits = scale(images.logits, scaling).astype(np.float64)
        if method == PROBABILITY:
            return np.asarray(-softmax(logits.astype(np.float32)).max(axis=1))
        if method == ENERGY:
            top = logits.max(axis=1)
            return np.asarray(-top - np.log(np.exp(logits - top[:, None]).sum(axis=1)))
        if method == NEAREST:
            likeness = _normalized(images.pooled) @ _normalized(data.pooled).T
            return np.asarray(-np.sort(likeness, axis=1)[:, -NEIGHBOR])
        features = penultimate(head, images.pooled)
        rows = zip(features, logits.astype(np.float32), strict=True)
        return np.array([detector.score(*row) for row in rows])

    return score


def _normalized(pooled: Array) -> Array:
    return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
