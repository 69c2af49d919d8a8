"""What few images can tell of calibration.

The expected calibration error is above 0 for a perfectly calibrated model too: accuracies in bins
of few images differ from their confidences by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.evaluation.calibration.figures import BINS

Values = npt.NDArray[np.float64]

MIN_IMAGES_A_BIN = 4
DRAWS = 500
SEED = 11


@dataclass(frozen=True, slots=True)
class ChanceError:
    """Of the expected calibration errors that a perfectly calibrated model has by chance."""

    mean: float
    standard_deviation: float


def debiased_squared_error(confidences: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """An estimate of the mean squared gap between confidence and accuracy, without the part that
    chance adds; below 0 where that part is the larger one.

    Kumar, Liang, Ma 2019 (arXiv 1909.10155), definition 5.1, after Bröcker 2012 and Ferro and
    Fricker 2012; in bins of equally many images, which Roelofs et al. 2022 (arXiv 2012.08668) found
    the least biased. confidences: float [N], 0 to 1. right: bool [N].
    """
    given, flags = np.asarray(confidences, float), np.asarray(right, float)
    bins = max(1, min(BINS, len(given) // MIN_IMAGES_A_BIN))
    total = 0.0
    for chosen in np.array_split(np.argsort(given, kind="stable"), bins):
        accuracy, count = flags[chosen].mean(), len(chosen)
        gap = given[chosen].mean() - accuracy
        total += count * (gap**2 - accuracy * (1 - accuracy) / max(1, count - 1))
    return float(total / len(given))


def debiased_calibration_error(confidences: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """The root of `debiased_squared_error`, 0 to 1; 0 where that is below 0.

    The square is without bias, its root is not: of few images it is somewhat low.
    """
    return float(np.sqrt(max(0.0, debiased_squared_error(confidences, right))))


def chance_error(confidences: npt.ArrayLike, draws: int = DRAWS, seed: int = SEED) -> ChanceError:
    """What a perfectly calibrated model with these confidences, float [N], has on N images.

    Labels are drawn by the confidences: Bröcker and Smith 2007, consistency resampling.
    """
    given = np.asarray(confidences, float)
    bins = np.minimum((given * BINS).astype(int), BINS - 1)
    sums = np.bincount(bins, given, BINS)
    generator = np.random.default_rng(seed)
    errors: Values = np.empty(draws)
    for draw in range(draws):
        right = (generator.random(len(given)) < given).astype(float)
        errors[draw] = np.abs(sums - np.bincount(bins, right, BINS)).sum() / len(given)
    return ChanceError(float(errors.mean()), float(errors.std()))
