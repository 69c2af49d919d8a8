"""How well probabilities tell how often a model is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.floating]
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

# Guo et al. 2017 (arXiv 1706.04599), section 2 and figure 1.
BINS = 15


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The images whose confidence is from `low` to `high`, 0 to 1.

    confidence, accuracy: their means, 0 to 1.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability_bins(confidences: npt.ArrayLike, right: npt.ArrayLike) -> list[ReliabilityBin]:
    """Those of BINS bins of equal width that are not empty.

    confidences: float [N], 0 to 1. right: bool [N], whether the class is the label.
    """
    given, flags = np.asarray(confidences, float), np.asarray(right, float)
    bins = np.minimum((given * BINS).astype(int), BINS - 1)
    return [
        ReliabilityBin(
            float(one) / BINS,
            float(one + 1) / BINS,
            int((bins == one).sum()),
            float(given[bins == one].mean()),
            float(flags[bins == one].mean()),
        )
        for one in np.unique(bins)
    ]


def expected_calibration_error(confidences: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """The mean gap between confidence and accuracy over bins of confidence, weighted by their size,
    0 to 1. Arguments as `reliability_bins`'.
    """
    bins = reliability_bins(confidences, right)
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / total


def log_losses(logits: Floats, class_ids: Indices) -> Values:
    """The negative log-likelihood of each image's label, in nats, [N].

    logits: float [N, classes]. class_ids: the labels [N].
    """
    values = np.asarray(logits, np.float64)
    values = values - values.max(axis=1, keepdims=True)
    normalizers = np.log(np.exp(values).sum(axis=1))
    return np.asarray(normalizers - values[np.arange(len(values)), class_ids])


def negative_log_likelihood(logits: Floats, class_ids: Indices) -> float:
    """The mean over the images, in nats. Arguments as `log_losses`'."""
    return float(log_losses(logits, class_ids).mean())


def brier_score(probabilities: Array, class_ids: Indices) -> float:
    """Brier 1950: the mean squared distance from probabilities to labels, over all classes, 0 to 2.

    probabilities: float [N, classes].
    """
    values = np.asarray(probabilities, np.float64)
    named = values[np.arange(len(values)), class_ids]
    return float(((values**2).sum(axis=1) - 2 * named + 1).mean())
