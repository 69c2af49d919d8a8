"""Fits a model's confidence on one half of labeled images, and measures it on the other half."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.artifact.confidence import CalibrationReport, FittedConfidence, Scaling
from model_builder.artifact.head import Head, softmax
from service.errors import InvalidParameter
from service.evaluation.calibration.collect import Collected
from service.evaluation.calibration.coverage import CoverageRow, coverage_rows
from service.evaluation.calibration.figures import (
    ReliabilityBin,
    calibration_figures,
    negative_log_likelihood,
    reliability_bins,
)
from service.evaluation.calibration.scaling import fit_temperature, fit_vector, may_fit_vector
from service.inference.confidence.assessor import scale
from service.inference.confidence.out_of_distribution import METHOD, fit_detector

Indices = npt.NDArray[np.int64]

SEED = 7
MIN_IMAGES = 40
FREQUENT_CLASSES = 20
DECIMALS = 4
# Of a model that is calibrated as it is: temperature 1.
UNSCALED = Scaling("temperature", np.ones(1, np.float32), np.zeros(1, np.float32))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of the held-out images: bins of confidence before and after, and what abstaining gives."""

    fitted: FittedConfidence
    bins_before: list[ReliabilityBin]
    bins_after: list[ReliabilityBin]
    coverage: list[CoverageRow]


def fit_confidence(collected: Collected, head: Head, images: str, digest: str) -> Outcome:
    """images: where they come from, for people. digest: of their files.

    Raises InvalidParameter for fewer than MIN_IMAGES.
    """
    if len(collected) < MIN_IMAGES:
        raise InvalidParameter(
            f"A calibration takes {MIN_IMAGES} labeled images or more, better some hundreds. "
            f"Received: {len(collected)}"
        )
    fit, held_out = (collected.rows(one) for one in halves(collected.class_ids))
    scaling = choose_scaling(fit, held_out)
    named = held_out.logits.argmax(axis=1)
    right = named == held_out.class_ids
    rows = np.arange(len(held_out))
    before = softmax(held_out.logits)[rows, named]
    scaled = scale(held_out.logits, scaling)
    after = softmax(scaled)[rows, named]
    detector = fit_detector(
        (fit.pooled, scale(fit.logits, scaling)), (held_out.pooled, scaled), head
    )
    temperature = 1 / float(scaling.scale[0]) if scaling.method == "temperature" else None
    report = CalibrationReport(
        images=images,
        digest=digest,
        fitted_on=len(fit),
        held_out=len(held_out),
        method=scaling.method,
        temperature=None if temperature is None else round(temperature, DECIMALS),
        top1_percent=round(100 * float(right.mean()), 2),
        before=calibration_figures(held_out.logits, held_out.class_ids, named),
        after=calibration_figures(scaled, held_out.class_ids, named),
        mean_confidence=round(float(after.mean()), DECIMALS),
        out_of_distribution=METHOD,
    )
    most = np.bincount(collected.logits.argmax(axis=1))
    frequent = np.argsort(-most, kind="stable")[:FREQUENT_CLASSES]
    classes = tuple(int(one) for one in frequent if most[one])
    return Outcome(
        FittedConfidence(report, scaling, detector, classes),
        reliability_bins(before, right),
        reliability_bins(after, right),
        coverage_rows(after, right),
    )


def halves(class_ids: Indices, seed: int = SEED) -> tuple[Indices, Indices]:
    """Indices of the images to fit on, and of those held out: each class's images are shared."""
    shuffled = np.random.default_rng(seed).permutation(len(class_ids))
    order = shuffled[np.argsort(class_ids[shuffled], kind="stable")]
    return np.sort(order[0::2]), np.sort(order[1::2])


def choose_scaling(fit: Collected, held_out: Collected) -> Scaling:
    """What gives the held-out labels the best likelihood: no scaling, temperature scaling, or
    vector scaling where the images are enough for it.
    """
    temperature = fit_temperature(fit.logits, fit.class_ids)
    candidates = [UNSCALED, temperature]
    if may_fit_vector(fit.class_ids, fit.logits.shape[1]):
        candidates.append(fit_vector(fit.logits, fit.class_ids, temperature))
    losses = [
        negative_log_likelihood(scale(held_out.logits, one), held_out.class_ids)
        for one in candidates
    ]
    return candidates[int(np.argmin(losses))]
