"""Fits a model's confidence to labeled images, and measures it on those that a fit left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.artifact.confidence import (
    CalibrationReport,
    FittedConfidence,
    Scaling,
)
from model_builder.artifact.head import Head, softmax
from service.errors import InvalidParameter
from service.evaluation.calibration.collect import Collected
from service.evaluation.calibration.coverage import CoverageRow, coverage_rows
from service.evaluation.calibration.figures import (
    ReliabilityBin,
    log_losses,
    negative_log_likelihood,
    reliability_bins,
)
from service.evaluation.calibration.report import calibration_figures
from service.evaluation.calibration.scaling import fit_temperature, fit_vector, may_fit_vector
from service.inference.confidence.assessor import penultimate, scale
from service.inference.confidence.out_of_distribution import METHOD, fit_detector

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
# Logits [N, classes] and labels [N] to what is fitted to them.
Fit = Callable[[Array, Indices], Scaling]

SEED = 7
FOLDS = 5
MIN_IMAGES = 40
FREQUENT_CLASSES = 20
DECIMALS = 4
# Of a model that is calibrated as it is: temperature 1.
UNSCALED = Scaling("temperature", np.ones(1, np.float32), np.zeros(1, np.float32))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of the held-out images: bins of confidence before and after, and what abstaining gives.

    likelihood_gain: by how much scaling makes the labels more likely, in nats an image, with its
    standard error.
    """

    fitted: FittedConfidence
    likelihood_gain: float
    likelihood_gain_error: float
    bins_before: list[ReliabilityBin]
    bins_after: list[ReliabilityBin]
    coverage: list[CoverageRow]


def fit_confidence(collected: Collected, head: Head, images: str, digest: str) -> Outcome:
    """Fits to all images, and measures each of them with a fit to the other folds.

    images: where they come from, for people. digest: of their files.

    Raises InvalidParameter for fewer than MIN_IMAGES, and what `check_softmax` raises.
    """
    check_softmax(head)
    if len(collected) < MIN_IMAGES:
        raise InvalidParameter(
            f"A calibration takes {MIN_IMAGES} labeled images or more, better some hundreds. "
            f"Received: {len(collected)}"
        )
    class_ids = collected.class_ids
    fit, scaled = choose_scaling(collected)
    scaling = fit(collected.logits, class_ids)
    named = collected.logits.argmax(axis=1)
    right = named == class_ids
    rows = np.arange(len(collected))
    gains = log_losses(collected.logits, class_ids) - log_losses(scaled, class_ids)
    before = softmax(collected.logits)[rows, named]
    after = softmax(scaled)[rows, named]
    temperature = 1 / float(scaling.scale[0]) if scaling.method == "temperature" else None
    report = CalibrationReport(
        images=images,
        digest=digest,
        fitted_on=len(collected),
        held_out=len(collected),
        folds=FOLDS,
        method=scaling.method,
        temperature=None if temperature is None else round(temperature, DECIMALS),
        top1_percent=round(100 * float(right.mean()), 2),
        before=calibration_figures(collected.logits, class_ids, named),
        after=calibration_figures(scaled, class_ids, named),
        mean_confidence=round(float(after.mean()), DECIMALS),
        out_of_distribution=METHOD,
    )
    most = np.bincount(named)
    frequent = np.argsort(-most, kind="stable")[:FREQUENT_CLASSES]
    classes = tuple(int(one) for one in frequent if most[one])
    return Outcome(
        FittedConfidence(report, scaling, _detector(collected, head, scaling), classes),
        round(float(gains.mean()), DECIMALS),
        round(float(gains.std(ddof=1)) / len(gains) ** 0.5, DECIMALS),
        reliability_bins(before, right),
        reliability_bins(after, right),
        coverage_rows(after, right),
    )


def _detector(collected: Collected, head: Head, scaling: Scaling) -> dict[str, Array]:
    """Fitted to one half of the images, with its threshold by the other."""
    known, held_out = (
        (penultimate(head, half.pooled), scale(half.logits, scaling))
        for half in (collected.rows(one) for one in halves(collected.class_ids))
    )
    return fit_detector(known, held_out, head)


def check_softmax(head: Head) -> None:
    """Raises InvalidParameter for a model whose classes are independent of each other."""
    if head.activation == "sigmoid":
        raise InvalidParameter(
            "Its classes have independent probabilities (sigmoid), and no softmax to calibrate."
        )


def split(class_ids: Indices, parts: int, seed: int = SEED) -> list[Indices]:
    """Indices of the images of each part, among which each class's images are shared."""
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(class_ids))
    # Of one image a class, each part has classes by chance.
    ranks = generator.permutation(int(class_ids.max()) + 1)[class_ids[shuffled]]
    order = shuffled[np.argsort(ranks, kind="stable")]
    return [np.sort(order[part::parts]) for part in range(parts)]


def halves(class_ids: Indices, seed: int = SEED) -> list[Indices]:
    """Indices of the images to fit on, and of those held out."""
    return split(class_ids, 2, seed)


def choose_scaling(collected: Collected) -> tuple[Fit, Array]:
    """How to fit what gives held-out labels the best likelihood: no scaling, temperature scaling,
    or vector scaling where the images are enough for it. And the logits [N, classes] so scaled,
    each by a fit to the other folds.
    """
    fits: list[Fit] = [_unscaled, fit_temperature]
    if may_fit_vector(collected.class_ids, collected.logits.shape[1]):
        fits.append(_fit_vector)
    best: tuple[float, Fit, Array] | None = None
    for fit in fits:
        scaled = _cross_fitted(collected, fit)
        loss = negative_log_likelihood(scaled, collected.class_ids)
        if best is None or loss < best[0]:
            best = loss, fit, scaled
    assert best is not None
    return best[1:]


def _cross_fitted(collected: Collected, fit: Fit) -> Array:
    scaled = np.empty_like(collected.logits)
    everything = np.arange(len(collected))
    for held_out in split(collected.class_ids, FOLDS):
        others = collected.rows(np.setdiff1d(everything, held_out))
        scaling = fit(others.logits, others.class_ids)
        scaled[held_out] = scale(collected.logits[held_out], scaling)
    return scaled


def _unscaled(_logits: Array, _class_ids: Indices) -> Scaling:
    return UNSCALED


def _fit_vector(logits: Array, class_ids: Indices) -> Scaling:
    return fit_vector(logits, class_ids, fit_temperature(logits, class_ids))
