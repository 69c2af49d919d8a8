"""A calibration of the colors' model, made of what its fake engine sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from model_builder.artifact.confidence import (
    CalibrationFigures,
    CalibrationReport,
    FittedConfidence,
    Scaling,
)
from service.inference.confidence.out_of_distribution import fit_detector
from tests.service.fakes import FEATURES, color_head
from tests.service.images import COLORS

Array = npt.NDArray[np.float32]

FIGURES = CalibrationFigures(0.1, 0.04, 0.01, 0.08, 0.5, 0.3)
REPORT = CalibrationReport(
    images="photos",
    digest="0" * 64,
    fitted_on=20,
    held_out=20,
    folds=5,
    method="temperature",
    temperature=2.0,
    top1_percent=90.0,
    before=FIGURES,
    after=replace(FIGURES, expected_calibration_error=0.05),
    mean_confidence=0.9,
    out_of_distribution="ViM",
)
SCALING = Scaling("temperature", np.array([0.5], np.float32), np.zeros(1, np.float32))


def features_of(*colors: tuple[float, float, float]) -> Array:
    """As the fake engine sees plain images, 0 to 255: float32 [N, FEATURES]."""
    features = np.zeros((len(colors), FEATURES), np.float32)
    features[:, :3] = np.array(colors, np.float32) / 255
    return features


def _calibrated(features: Array) -> tuple[Array, Array]:
    """With the logits over the temperature."""
    return features, np.asarray(logits_of(features) / 2, np.float32)


def logits_of(features: Array) -> Array:
    head = color_head()
    return np.asarray(features @ head.kernel + head.bias, np.float32)


def fitted_to(*colors: str) -> FittedConfidence:
    """With temperature 2, and scores that know images of nearly these colors."""
    noise = np.random.default_rng(5).normal(scale=4, size=(2, 40, 3))
    known, held_out = (
        features_of(*(np.array([COLORS[colors[i % len(colors)]] for i in range(40)]) + one))
        for one in noise
    )
    detector = fit_detector(_calibrated(known), _calibrated(held_out), color_head())
    return FittedConfidence(REPORT, SCALING, detector, (0, 2))
