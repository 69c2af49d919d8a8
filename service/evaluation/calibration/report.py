"""All figures of a model's calibration on some images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model_builder.artifact.confidence import CalibrationFigures
from service.evaluation.calibration.figures import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
)
from service.evaluation.calibration.small_samples import chance_error, debiased_calibration_error

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

DECIMALS = 6


def calibration_figures(
    logits: Array, class_ids: Indices, named: Indices | None = None
) -> CalibrationFigures:
    """Of the softmax of logits, float [N, classes].

    named: the classes that the model names, [N], whose probability is the confidence; by default
    the most probable.
    """
    values = np.asarray(logits, np.float64)
    values = np.exp(values - values.max(axis=1, keepdims=True))
    probabilities = values / values.sum(axis=1, keepdims=True)
    best = probabilities.argmax(axis=1) if named is None else named
    confidences, right = probabilities[np.arange(len(values)), best], best == class_ids
    chance = chance_error(confidences)
    figures = (
        expected_calibration_error(confidences, right),
        chance.mean,
        chance.standard_deviation,
        debiased_calibration_error(confidences, right),
        negative_log_likelihood(logits, class_ids),
        brier_score(probabilities, class_ids),
    )
    return CalibrationFigures(*(round(one, DECIMALS) for one in figures))
